/** Speaks like Amp's command line with `--stream-json-input`: one user message in, a line of JSON for each thing that happens out. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { z } from 'zod';

const inputSchema = z.object({
  type: z.literal('user'),
  message: z.object({ role: z.literal('user'), content: z.array(z.object({ type: z.literal('text'), text: z.string() })).length(1) }),
});

const session_id = 'T-of-tests';
const tell = (line: object): void => void process.stdout.write(`${JSON.stringify({ ...line, session_id })}\n`);
const say = (type: 'assistant' | 'user', content: object, parent_tool_use_id: string | null = null): void =>
  tell({ type, message: { role: type, content: [content] }, parent_tool_use_id });

const args = process.argv.slice(2);
appendFileSync(join(process.env['HOME'] ?? '', 'runs.jsonl'), `${JSON.stringify({ args, token: process.env['AMP_API_KEY'] })}\n`);
const { message } = inputSchema.parse(JSON.parse(await text(process.stdin)));
const prompt = message.content[0]?.text;

tell({ type: 'system', subtype: 'init', cwd: process.cwd(), tools: ['Bash'], mcp_servers: [] });
say('user', { type: 'text', text: prompt });
say('assistant', { type: 'thinking', thinking: 'I think.' });
switch (prompt) {
  case 'hang':
    setInterval(() => {}, 60_000);
    break;
  case 'die':
    process.stderr.write('words of its own\n');
    process.exitCode = 3;
    break;
  case 'fail':
    tell({ type: 'result', subtype: 'error_during_execution', is_error: true, error: 'words of its own', duration_ms: 1, num_turns: 1 });
    break;
  default:
    say('assistant', { type: 'tool_use', id: 'tool-1', name: 'Bash', input: { cmd: 'ls' } });
    say('assistant', { type: 'text', text: 'what a subagent says' }, 'tool-1');
    say('user', { type: 'tool_result', tool_use_id: 'tool-1', content: 'a.txt', is_error: false });
    say('assistant', { type: 'text', text: `You said: ${prompt}` });
    tell({ type: 'result', subtype: 'success', is_error: false, result: 'done', duration_ms: 1, num_turns: 1 });
}
