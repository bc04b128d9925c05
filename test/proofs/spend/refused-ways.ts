import { encodeOrder, type OrderInput } from './order.ts';

const MESSAGES = '/v1/messages';
const RESPONSES = '/v1/responses';
const CHAT = '/v1/chat/completions';

/** A route, and fields of its body. */
export interface Variant {
  path: string;
  more: object;
}

const prompt = (path: string, order: OrderInput): object => ({
  type: path === RESPONSES ? 'input_text' : 'text',
  text: `live way=${encodeOrder(order)}; `,
});

/** The part of a prompt, beside the order. */
function withPart(path: string, part: object, order: OrderInput): Variant {
  const turns = [{ role: 'user', content: [part, prompt(path, order)] }];
  return { path, more: path === RESPONSES ? { input: turns } : { messages: turns } };
}

/** Bodies that name what the provider stores, and so bring in a context that the gateway never saw. */
export function namedContext(order: OrderInput): Variant[] {
  const item = {
    input: [
      { type: 'item_reference', id: 'msg_1' },
      { role: 'user', content: [prompt(RESPONSES, order)] },
    ],
  };
  return [
    { path: RESPONSES, more: { previous_response_id: 'resp_1' } },
    { path: RESPONSES, more: { conversation: 'conv_1' } },
    { path: RESPONSES, more: { conversation: { id: 'conv_1' } } },
    { path: RESPONSES, more: { prompt: { id: 'pmpt_1' } } },
    { path: RESPONSES, more: item },
    withPart(RESPONSES, { type: 'input_file', file_id: 'file-1' }, order),
    withPart(CHAT, { type: 'file', file: { file_id: 'file-1' } }, order),
    withPart(MESSAGES, { type: 'document', source: { type: 'file', file_id: 'file_1' } }, order),
    { path: MESSAGES, more: { container: 'container_1' } },
  ];
}

/** Bodies that have the provider fetch what they name. */
export function urlDocument(order: OrderInput): Variant[] {
  const url = 'https://a.example/b.pdf';
  return [
    withPart(MESSAGES, { type: 'document', source: { type: 'url', url } }, order),
    withPart(MESSAGES, { type: 'image', source: { type: 'url', url } }, order),
    withPart(RESPONSES, { type: 'input_file', file_url: url }, order),
    withPart(RESPONSES, { type: 'input_image', image_url: url }, order),
    withPart(CHAT, { type: 'image_url', image_url: { url } }, order),
  ];
}

/** Bodies with tools that run at the provider, and cost what they like. */
export function serverTools(): Variant[] {
  const anthropic = ['web_search_20250305', 'web_fetch_20250910', 'code_execution_20250825', 'advisor_20260301', 'mcp_toolset'];
  const openai = ['web_search', 'web_search_preview', 'image_generation', 'code_interpreter', 'file_search', 'mcp'];
  return [
    ...anthropic.map((type) => ({ path: MESSAGES, more: { tools: [{ type, name: 'tool' }] } })),
    ...openai.map((type) => ({ path: RESPONSES, more: { tools: [{ type }] } })),
    { path: CHAT, more: { tools: [{ type: 'web_search' }] } },
    { path: CHAT, more: { web_search_options: {} } },
  ];
}
