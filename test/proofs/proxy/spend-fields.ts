import { check, firstOf, refusedWith, type Case } from './case.ts';
import { mark } from './provider.ts';
import { bodyFor } from './requests.ts';

type Refused = [what: string, path: string, more: object, names: string, status?: number, code?: string];

const MESSAGES = '/v1/messages';
const RESPONSES = '/v1/responses';
const CHAT = '/v1/chat/completions';

function tool(path: string, fields: { type: string; [field: string]: unknown }): Refused {
  return [`the server tool ${fields.type}`, path, { tools: [fields] }, fields.type];
}

function content(path: string, part: object): object {
  const parts = [part, { type: path === RESPONSES ? 'input_text' : 'text', text: mark() }];
  return path === RESPONSES ? { input: [{ role: 'user', content: parts }] } : { messages: [{ role: 'user', content: parts }] };
}

const REFUSED: Refused[] = [
  tool(MESSAGES, { type: 'advisor_20260301', name: 'advisor', model: 'claude-opus-4-6' }),
  tool(MESSAGES, { type: 'web_search_20250305', name: 'web_search' }),
  tool(MESSAGES, { type: 'web_fetch_20250910', name: 'web_fetch' }),
  tool(MESSAGES, { type: 'code_execution_20250825', name: 'code_execution' }),
  tool(MESSAGES, { type: 'tool_search_tool_regex_20251119', name: 'tool_search' }),
  tool(MESSAGES, { type: 'mcp_toolset', mcp_server_name: 'evil' }),
  tool(RESPONSES, { type: 'web_search' }),
  tool(RESPONSES, { type: 'web_search_preview' }),
  tool(RESPONSES, { type: 'image_generation', model: 'gpt-image-1' }),
  tool(RESPONSES, { type: 'code_interpreter', container: { type: 'auto' } }),
  tool(RESPONSES, { type: 'file_search' }),
  tool(RESPONSES, { type: 'mcp', server_label: 'evil', server_url: 'https://mcp.example' }),
  tool(RESPONSES, { type: 'made_up_tool' }),
  tool(CHAT, { type: 'web_search' }),
  ['a model in a function tool', MESSAGES, { tools: [{ name: 'a', input_schema: {}, model: 'claude-opus-4-6' }] }, 'model'],
  ['a model in a custom tool', RESPONSES, { tools: [{ type: 'custom', name: 'a', model: 'gpt-5-pro' }] }, 'model'],
  ['a nested server tool', RESPONSES, { tools: [{ type: 'namespace', name: 'a', tools: [{ type: 'web_search' }] }] }, 'web_search'],
  ['fallbacks', MESSAGES, { fallbacks: [{ model: 'claude-opus-4-6', speed: 'fast' }] }, 'fallbacks'],
  ['mcp_servers', MESSAGES, { mcp_servers: [{ type: 'url', url: 'https://mcp.example', name: 'evil' }] }, 'mcp_servers'],
  ['an unknown field', MESSAGES, { a_new_field: 1 }, 'a_new_field'],
  ['an unknown field', RESPONSES, { a_new_field: 1 }, 'a_new_field'],
  ['an unknown field', CHAT, { a_new_field: 1 }, 'a_new_field'],
  ['an unknown field of a prototype', CHAT, { constructor: 1 }, 'constructor'],
  ['web_search_options', CHAT, { web_search_options: {} }, 'web_search_options'],
  ['max_tokens beside max_output_tokens', RESPONSES, { max_tokens: 2_000 }, 'max_tokens'],
  ['background', RESPONSES, { background: true }, 'background'],
  ['audio', CHAT, { modalities: ['text', 'audio'], audio: { voice: 'alloy', format: 'mp3' } }, ''],
  ['an unknown content block', MESSAGES, content(MESSAGES, { type: 'a_new_block' }), 'a_new_block'],
  ['an unknown input item', RESPONSES, { input: [{ type: 'a_new_item' }, { role: 'user', content: mark() }] }, 'a_new_item'],
  ['a document by URL', MESSAGES, content(MESSAGES, { type: 'document', source: { type: 'url', url: 'https://a.example/b.pdf' } }), 'url'],
  ['an image by URL', MESSAGES, content(MESSAGES, { type: 'image', source: { type: 'url', url: 'https://a.example/b.png' } }), 'url'],
  ['an image by URL', RESPONSES, content(RESPONSES, { type: 'input_image', image_url: 'https://a.example/b.png' }), 'image_url'],
  ['a file by URL', RESPONSES, content(RESPONSES, { type: 'input_file', file_url: 'https://a.example/b.pdf' }), ''],
  ['an image by URL', CHAT, content(CHAT, { type: 'image_url', image_url: { url: 'https://a.example/b.png' } }), 'image_url'],
  ['the service tier priority', RESPONSES, { service_tier: 'priority' }, 'priority', 403, 'model_unpriced'],
  ['the service tier flex', CHAT, { service_tier: 'flex' }, 'flex', 403, 'model_unpriced'],
  ['a model outside its list', RESPONSES, { model: 'gpt-5' }, '', 403, 'model_not_allowed'],
];

/** What may reach no provider, since it is not priced or not bounded: each is refused by name. */
export const refusedFields: Case[] = [
  ...REFUSED.map(([what, path, more, names, status = 400, code = 'llm_rejected']) => ({
    name: `M1, M2: ${path} with ${what} is refused with ${status}, and nothing reaches the provider`,
    run: refusing(path, more, {}, names, status, code),
  })),
  ...['mcp-client-2025-11-20', 'advisor-tool-2026-03-01', 'files-api-2025-04-14', 'claude-code-20250219,a-new-beta-2027-01-01'].map(
    (beta) => ({
      name: `M1: the beta ${beta} is refused with 400, and nothing reaches the provider`,
      run: refusing(MESSAGES, {}, { 'anthropic-beta': beta }, beta.split(',').at(-1) ?? '', 400, 'llm_rejected'),
    }),
  ),
];

function refusing(path: string, more: object, headers: Record<string, string>, names: string, status: number, code: string): Case['run'] {
  return async (rig) => {
    const { secret } = await rig.mint();
    const before = rig.provider.requests;
    const answer = await rig.ask({ path, key: secret, body: bodyFor(path, 'plain', more), headers });
    return firstOf(
      () => check(rig.provider.requests === before, `answered with ${answer.status}, and reached the provider`),
      () => refusedWith(answer, status, code, names),
    );
  };
}
