import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

import { generating, send, startRig, startUpstream, type Rig, type Upstream } from './rig.ts';

/** What the pinned agents sent in the conformance suite, with their texts taken out: the lists of what passes must hold all of it. */
const FOLDER = join(import.meta.dirname, 'recorded');
const recordedSchema = z.array(
  z.object({ path: z.string(), headers: z.record(z.string(), z.string()), body: z.looseObject({ model: z.string() }) }),
);

let upstream: Upstream;
let rig: Rig;

beforeAll(async () => {
  const usage = { input_tokens: 1, output_tokens: 1, prompt_tokens: 1, completion_tokens: 1 };
  upstream = await startUpstream((req, res) => {
    req.resume().on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ usage })));
  });
  rig = await startRig(upstream.url);
});

afterAll(async () => {
  await rig.close();
  await upstream.close();
});

const agents = (await readdir(FOLDER)).map((file) => file.replace('.json', ''));

it.each(agents)('the requests that %s makes pass', async (agent) => {
  const recorded = recordedSchema.parse(JSON.parse(await readFile(join(FOLDER, `${agent}.json`), 'utf8')));
  expect(recorded.length).toBeGreaterThan(0);
  for (const { path, headers, body } of recorded) {
    const key = await rig.mint({ models: [body.model], budgetUsd: 100 });
    const answer = await send(rig, key.secret, path, body, headers);
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
  }
});

it.each([
  ['/v1/messages', { fallbacks: [{ model: 'claude-opus-4-6' }] }, 400, 'fallbacks'],
  ['/v1/messages', { tools: [{ type: 'advisor_20260301', name: 'advisor', model: 'claude-opus-4-6' }] }, 400, 'advisor_20260301'],
  ['/v1/messages', { tools: [{ name: 'one', input_schema: {}, model: 'claude-opus-4-6' }] }, 400, 'tools[].model'],
  ['/v1/messages', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 400, 'web_search_20250305'],
  ['/v1/messages', { mcp_servers: [] }, 400, 'mcp_servers'],
  ['/v1/messages', { user_profile_id: 'x' }, 400, 'user_profile_id'],
  ['/v1/messages', { container: 'container_1' }, 404, 'container'],
  ['/v1/messages', { speed: 'fast' }, 403, 'speed fast'],
  ['/v1/messages', { context_management: { edits: [{ type: 'compact_20260112' }] } }, 400, 'compact_20260112'],
  ['/v1/messages', content({ type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' } }), 400, 'url'],
  ['/v1/messages', content({ source: { file_id: 'file_1', type: 'base64' }, type: 'image' }), 404, 'file_id'],
  ['/v1/messages', content({ type: 'tool_result', content: [{ type: 'image', source: { type: 'url', url: 'x' } }] }), 400, 'url'],
  ['/v1/messages', content({ type: 'tool_addition', tools: [] }), 400, 'tool_addition'],
  ['/v1/responses', { previous_response_id: 'resp_1' }, 404, 'previous_response_id'],
  ['/v1/responses', { conversation: { id: 'conv_1' } }, 404, 'conversation'],
  ['/v1/responses', { prompt: { id: 'pmpt_1' } }, 404, 'prompt'],
  ['/v1/responses', { input: [{ type: 'item_reference', id: 'msg_1' }] }, 404, 'item_reference'],
  ['/v1/responses', { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] }, 404, 'file_id'],
  ['/v1/responses', { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'https://example.com/' }] }] }, 400, 'image_url'],
  ['/v1/responses', { input: [{ type: 'additional_tools', tools: [] }] }, 400, 'additional_tools'],
  ['/v1/responses', { tools: [{ type: 'web_search' }] }, 400, 'web_search'],
  ['/v1/responses', { tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'code_interpreter' }] }] }, 400, 'code_interpreter'],
  ['/v1/responses', { tools: [{ type: 'shell' }] }, 400, 'shell'],
  ['/v1/responses', { tools: [{ type: 'tool_search', execution: 'server' }] }, 400, 'tool_search'],
  ['/v1/responses', { reasoning: { mode: 'pro' } }, 403, 'reasoning.mode pro'],
  ['/v1/responses', { input: [{ id: 'msg_other' }] }, 404, 'input item'],
  ['/v1/responses', { input: [{}] }, 400, 'neither a type nor a role'],
  [
    '/v1/responses',
    {
      input: [
        { role: 'user', content: 'x' },
        { id: 'msg_other', type: null },
      ],
    },
    404,
    'input item',
  ],
  ['/v1/responses', { input: [{ type: 'reasoning', id: 'rs_other', summary: [] }] }, 404, 'input item'],
  ['/v1/responses', { input: [{ type: 'compaction_trigger' }] }, 400, 'compaction_trigger'],
  ['/v1/responses', { background: true }, 400, 'background'],
  ['/v1/responses', { max_tokens: 10 }, 400, 'max_tokens'],
  ['/v1/responses', { max_output_tokens: -1 }, 400, 'max_output_tokens'],
  ['/v1/responses', { service_tier: 'flex' }, 403, 'service_tier flex'],
  ['/v1/chat/completions', { modalities: ['audio'] }, 400, 'modalities'],
  ['/v1/chat/completions', { web_search_options: {} }, 400, 'web_search_options'],
  ['/v1/chat/completions', { max_completion_tokens: 1.5 }, 400, 'max_completion_tokens'],
  ['/v1/chat/completions', chat([{ type: 'image_url', image_url: { url: 'http://example.com/' } }]), 400, 'image_url'],
  ['/v1/chat/completions', chat([{ type: 'input_audio', input_audio: {} }]), 400, 'input_audio'],
  ['/v1/chat/completions', chat([{ type: 'file', file: { file_id: 'file-1' } }]), 404, 'file_id'],
])('%s with %j is refused with %d, and the message names it', async (path, more, status, named) => {
  const key = await rig.mint();
  const answer = await send(rig, key.secret, path, { ...generating('hello')[path], ...more });
  expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(named)]);
  expect(await rig.usage(key)).toMatchObject({ requests: 0, usd: 0 });
});

it('a beta that is not on the list is refused, and the message names it', async () => {
  const key = await rig.mint();
  const headers = { 'anthropic-beta': 'interleaved-thinking-2025-05-14, fast-mode-2026-02-01' };
  const answer = await send(rig, key.secret, '/v1/messages', generating('hello')['/v1/messages'], headers);
  expect([answer.status, answer.text]).toEqual([400, expect.stringContaining('fast-mode-2026-02-01')]);
});

it.each([
  ['a field twice', '{"model":"gpt-5.1","model":"gpt-5.1-codex","input":"x"}', 'twice'],
  ['a field twice, once escaped', '{"model":"gpt-5.1","mod\\u0065l":"gpt-5.1-codex","input":"x"}', 'twice'],
  ['deep nesting', `{"model":"gpt-5.1","input":${'['.repeat(1_000_000)}`, 'nested'],
  ['a comma too many', '{"model":"gpt-5.1","input":"x",}', 'not JSON'],
  ['a comment', '{"model":"gpt-5.1"/**/,"input":"x"}', 'not JSON'],
  ['an early end', '{"model":"gpt-5.1","input":"x', 'ends early'],
  ['something after its end', '{"model":"gpt-5.1","input":"x"}{}', 'not JSON'],
  ['UTF-16', Buffer.from('{"model":"gpt-5.1","input":"x"}', 'utf16le').toString('latin1'), 'not JSON'],
])('a body with %s is refused with 400', async (_what, body, message) => {
  const key = await rig.mint();
  const answer = await send(rig, key.secret, '/v1/responses', body);
  expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(message)]);
});

function content(block: object): object {
  return { messages: [{ role: 'user', content: [block] }] };
}

function chat(parts: object[]): object {
  return { messages: [{ role: 'user', content: parts }] };
}
