import {
  anything,
  contentType,
  FETCHED_BY_PROVIDER,
  forbidden,
  list,
  maxOutput,
  mediaType,
  model,
  object,
  oneOf,
  rejectUnknown,
  storedReference,
  stream,
  type BodyShape,
} from '../body/facts.ts';

const SOURCE_TYPE = oneOf('a source of type', ['base64', 'text', 'content']);
const source = object({
  type: { value: (facts, value) => (value === 'file' ? storedReference('the source') : SOURCE_TYPE).value?.(facts, value) },
  media_type: mediaType,
  url: forbidden('a source by URL', FETCHED_BY_PROVIDER),
  file_id: storedReference('file_id'),
});

const blockMembers = new Map<string, BodyShape>(
  Object.entries({
    type: contentType('a content block of type', [
      'text',
      'image',
      'document',
      'search_result',
      'thinking',
      'redacted_thinking',
      'tool_use',
      'tool_result',
      'tool_reference',
    ]),
    source,
    file_id: storedReference('file_id'),
  }),
);
const block: BodyShape = { members: blockMembers };
const content = list(block);
// Tool results and documents contain blocks themselves.
blockMembers.set('content', content);
blockMembers.set('source', { members: new Map([...(source.members ?? []), ['content', content]]) });

// Only tools that the caller runs: those of the provider have loops and prices of their own, and some reach the web.
const tool = object(
  {
    type: oneOf('a tool of type', [
      'custom',
      'bash_20241022',
      'bash_20250124',
      'computer_20241022',
      'computer_20250124',
      'computer_20251124',
      'memory_20250818',
      'text_editor_20241022',
      'text_editor_20250124',
      'text_editor_20250429',
      'text_editor_20250728',
    ]),
    name: anything,
    description: anything,
    input_schema: anything,
    input_examples: anything,
    cache_control: anything,
    defer_loading: anything,
    strict: anything,
    eager_input_streaming: anything,
    max_characters: anything,
    display_width_px: anything,
    display_height_px: anything,
    display_number: anything,
    enable_zoom: anything,
  },
  rejectUnknown('tools[].'),
);

const edit = object({ type: oneOf('a context edit of type', ['clear_tool_uses_20250919', 'clear_thinking_20251015']) });

/** `POST /v1/messages` and `/v1/messages/count_tokens`: @anthropic-ai/sdk 1.12.0, beta/messages `MessageCreateParams`. */
export const messagesBody: BodyShape = object(
  {
    model,
    messages: list(object({ role: anything, content }, rejectUnknown('messages[].'))),
    system: content,
    tools: list(tool),
    tool_choice: anything,
    max_tokens: maxOutput('max_tokens'),
    metadata: anything,
    stop_sequences: anything,
    stream,
    temperature: anything,
    top_k: anything,
    top_p: anything,
    thinking: anything,
    output_config: anything,
    output_format: anything,
    cache_control: anything,
    context_management: object({ edits: list(edit) }, rejectUnknown('context_management.')),
    container: storedReference('container'),
    thread: storedReference('thread'),
    service_tier: oneOf('service_tier', ['auto', 'standard_only'], 'model_unpriced'),
    speed: oneOf('speed', ['standard'], 'model_unpriced'),
    inference_geo: oneOf('inference_geo', ['global'], 'model_unpriced'),
  },
  rejectUnknown(''),
);

/** Betas that change neither the price of a request nor the account that pays for it, including those of the pinned agents. */
export const BETAS: ReadonlySet<string> = new Set([
  'advanced-tool-use-2025-11-20',
  'claude-code-20250219',
  'computer-use-2024-10-22',
  'computer-use-2025-01-24',
  'computer-use-2025-11-24',
  'context-management-2025-06-27',
  'effort-2025-11-24',
  'extended-cache-ttl-2025-04-11',
  'fine-grained-tool-streaming-2025-05-14',
  'interleaved-thinking-2025-05-14',
  'model-context-window-exceeded-2025-08-26',
  'output-128k-2025-02-19',
  'pdfs-2024-09-25',
  'prompt-caching-2024-07-31',
  'prompt-caching-scope-2026-01-05',
  'structured-outputs-2025-11-13',
  'task-budgets-2026-03-13',
  'thinking-binding-controls-2026-08-01',
  'thinking-display-updates-2026-08-18',
  'thinking-token-count-2026-05-13',
  'token-counting-2024-11-01',
  'token-efficient-tools-2025-02-19',
]);
