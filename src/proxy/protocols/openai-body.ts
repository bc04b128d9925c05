import {
  anything,
  choices,
  contentType,
  dataUrl,
  list,
  maxOutput,
  model,
  NO_ITEM,
  object,
  oneOf,
  refused,
  replaced,
  stored,
  stream,
  unknownAt,
  type BodyShape,
} from '../body/facts.ts';

const FETCHED = 'the provider would fetch it, past what the sandbox may reach.';
const serviceTier = replaced('service_tier', oneOf('service_tier', ['auto', 'default'], 'model_unpriced'));

const toolMembers = new Map<string, BodyShape>(
  Object.entries({
    // Tools that the caller runs; those that the provider runs are loops and prices of their own, some of them ways to the web.
    type: oneOf('a tool of type', ['function', 'custom', 'namespace', 'local_shell', 'apply_patch', 'computer', 'computer_use_preview']),
    name: anything,
    description: anything,
    parameters: anything,
    function: anything,
    custom: anything,
    format: anything,
    strict: anything,
    defer_loading: anything,
    display_width: anything,
    display_height: anything,
  }),
);
const tool: BodyShape = { members: toolMembers, other: unknownAt('tools[].') };
const tools = list(tool);
toolMembers.set('tools', tools);

const part = new Map<string, BodyShape>(
  Object.entries({
    type: contentType('a content part of type', [
      'text',
      'input_text',
      'output_text',
      'reasoning_text',
      'summary_text',
      'refusal',
      'image_url',
      'input_image',
      'input_file',
      'file',
      'computer_screenshot',
    ]),
    // A string in the Responses API, an object in Chat Completions.
    image_url: { ...dataUrl('image_url'), members: new Map([['url', dataUrl('image_url')]]) },
    file: object({ file_id: stored('file_id'), file_url: refused('a file by URL', FETCHED) }),
    file_id: stored('file_id'),
    file_url: refused('a file by URL', FETCHED),
  }),
);
const content: BodyShape = { items: { members: part } };

/** Items that the provider made, and looks up by their id where they do not hold what they stand for. */
const OPAQUE = new Set<unknown>(['reasoning', 'compaction']);

const item: BodyShape = {
  members: new Map<string, BodyShape>(
    Object.entries({
      type: {
        value: (facts, value) => {
          facts.item.hasType = typeof value === 'string';
          facts.item.isOpaque = OPAQUE.has(value);
          (value === 'item_reference' ? stored('item_reference') : ITEM_TYPE).value?.(facts, value);
        },
      },
      role: { value: ({ item: read }, value) => void (read.hasRole = typeof value === 'string') },
      id: { value: ({ item: read }, value) => void (read.hasId = value !== null) },
      encrypted_content: { value: ({ item: read }, value) => void (read.hasContent = typeof value === 'string') },
      content,
      output: { ...content, members: part },
    } satisfies Record<string, BodyShape>),
  ),
  value: (facts) => void (facts.item = { ...NO_ITEM }),
  // Without a type and a role it is a reference, as it is where what it stands for is missing.
  range: (facts, from, to) => {
    const { hasType, hasRole, hasId, isOpaque, hasContent } = facts.item;
    const isNamed = hasId && ((!hasType && !hasRole) || (isOpaque && !hasContent));
    if (isNamed) stored('an input item').value?.(facts, `${from}-${to}`);
    else if (!hasType && !hasRole) refused('an input item', 'it has neither a type nor a role.').value?.(facts, undefined);
  },
};
const ITEM_TYPE = oneOf('an input item of type', [
  'message',
  'reasoning',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'custom_tool_call_output',
  'local_shell_call',
  'local_shell_call_output',
  'apply_patch_call',
  'apply_patch_call_output',
  'computer_call',
  'computer_call_output',
  'compaction',
]);

/** `POST /v1/responses`: openai 7.57.0, `ResponseCreateParams`; `client_metadata` is Codex's. */
export const responsesBody: BodyShape = object(
  {
    model,
    stream,
    input: list(item),
    tools,
    max_output_tokens: maxOutput('max_output_tokens'),
    service_tier: serviceTier,
    store: replaced('store'),
    background: oneOf('background', [false]),
    reasoning: object({ mode: oneOf('reasoning.mode', ['standard'], 'model_unpriced') }),
    previous_response_id: stored('previous_response_id'),
    conversation: stored('conversation'),
    prompt: stored('prompt'),
    ...plain(
      'client_metadata include instructions max_tool_calls metadata parallel_tool_calls prompt_cache_key prompt_cache_options',
      'prompt_cache_retention safety_identifier stream_options temperature text tool_choice top_logprobs top_p truncation user',
    ),
  },
  unknownAt(''),
);

/** `POST /v1/chat/completions`: openai 7.57.0, `ChatCompletionCreateParams`. */
export const chatBody: BodyShape = object(
  {
    model,
    stream,
    messages: list(object({ content, audio: stored('audio') })),
    tools,
    max_tokens: maxOutput('max_tokens'),
    max_completion_tokens: maxOutput('max_completion_tokens'),
    n: choices,
    service_tier: serviceTier,
    store: replaced('store'),
    stream_options: replaced('stream_options'),
    ...plain(
      'frequency_penalty function_call functions logit_bias logprobs metadata parallel_tool_calls presence_penalty prompt_cache_key',
      'prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed stop temperature tool_choice',
      'top_logprobs top_p user verbosity',
    ),
  },
  unknownAt(''),
);

/** Fields that change neither the price of a request nor whose it is. */
function plain(...names: readonly string[]): Record<string, BodyShape> {
  return Object.fromEntries(names.flatMap((line) => line.split(' ')).map((name) => [name, anything]));
}
