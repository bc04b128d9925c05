import {
  anything,
  choices,
  contentType,
  dataUrl,
  FETCHED_BY_PROVIDER,
  forbidden,
  list,
  maxOutput,
  model,
  NO_ITEM,
  object,
  oneOf,
  rejectUnknown,
  replaced,
  storedReference,
  stream,
  type BodyShape,
} from '../body/facts.ts';

const serviceTier = replaced('service_tier', oneOf('service_tier', ['auto', 'default'], 'model_unpriced'));

const toolMembers = new Map<string, BodyShape>(
  Object.entries({
    // Only tools that the caller runs: those of the provider have loops and prices of their own, and some reach the web.
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
const tool: BodyShape = { members: toolMembers, other: rejectUnknown('tools[].') };
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
    file: object({ file_id: storedReference('file_id'), file_url: forbidden('a file by URL', FETCHED_BY_PROVIDER) }),
    file_id: storedReference('file_id'),
    file_url: forbidden('a file by URL', FETCHED_BY_PROVIDER),
  }),
);
const content: BodyShape = { items: { members: part } };

/** Types of items that the provider generated, and that it looks up by id where the item lacks its encrypted content. */
const OPAQUE_TYPES = new Set<unknown>(['reasoning', 'compaction']);

const item: BodyShape = {
  members: new Map<string, BodyShape>(
    Object.entries({
      type: {
        value: (facts, value) => {
          facts.item.hasType = typeof value === 'string';
          facts.item.isOpaque = OPAQUE_TYPES.has(value);
          (value === 'item_reference' ? storedReference('item_reference') : ITEM_TYPE).value?.(facts, value);
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
  // An item without a type and a role is a reference, and so is an opaque item without its content.
  range: (facts, from, to) => {
    const { hasType, hasRole, hasId, isOpaque, hasContent } = facts.item;
    const isReference = hasId && ((!hasType && !hasRole) || (isOpaque && !hasContent));
    if (isReference) storedReference('an input item').value?.(facts, `${from}-${to}`);
    else if (!hasType && !hasRole) forbidden('an input item', 'it has neither a type nor a role.').value?.(facts, undefined);
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
    previous_response_id: storedReference('previous_response_id'),
    conversation: storedReference('conversation'),
    prompt: storedReference('prompt'),
    ...plain(
      'client_metadata include instructions max_tool_calls metadata parallel_tool_calls prompt_cache_key prompt_cache_options',
      'prompt_cache_retention safety_identifier stream_options temperature text tool_choice top_logprobs top_p truncation user',
    ),
  },
  rejectUnknown(''),
);

/** `POST /v1/chat/completions`: openai 7.57.0, `ChatCompletionCreateParams`. */
export const chatBody: BodyShape = object(
  {
    model,
    stream,
    messages: list(object({ content, audio: storedReference('audio') })),
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
  rejectUnknown(''),
);

/** Accepts any value in fields that change neither the price of a request nor the account that pays for it. */
function plain(...names: readonly string[]): Record<string, BodyShape> {
  return Object.fromEntries(names.flatMap((line) => line.split(' ')).map((name) => [name, anything]));
}
