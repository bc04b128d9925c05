import { spawn } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';

import { amp } from '../../src/agents/amp.ts';
import { programFile } from '../../src/in-sandbox/programs.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const standIn = fileURLToPath(new URL('./fake-amp.ts', import.meta.url));
const messageSchema = z.looseObject({
  id: z.number().optional(),
  method: z.string().optional(),
  params: z.looseObject({ update: z.looseObject({ sessionUpdate: z.string() }).optional() }).optional(),
  result: z.looseObject({ sessionId: z.string().optional(), stopReason: z.string().optional() }).optional(),
  error: z.object({ code: z.number(), message: z.string() }).optional(),
});
type Message = z.infer<typeof messageSchema>;

let home: string;
beforeEach(async () => {
  home = await temporaryFolder();
  const command = join(home, 'amp');
  await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${standIn}' "$@"\n`);
  await chmod(command, 0o755);
  await writeFile(join(home, 'key'), 'token-of-amp-for-tests\n');
  const paths = { home, workspace: home, gatewayUrl: 'http://127.0.0.1:9' };
  for (const { path, content } of amp.files({ paths, keyFile: join(home, 'key'), model: 'low', permissions: 'allow' })) {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, content);
  }
});

test('a prompt starts a thread of Amp, and Amp’s messages become updates of the session', async () => {
  const adapter = startAdapter();
  const sessionId = await adapter.open();
  expect((await adapter.prompt(sessionId, 'work')).result).toEqual({ stopReason: 'end_turn' });
  expect(adapter.updates()).toEqual([
    { sessionUpdate: 'agent_thought_chunk', content: { type: 'text', text: 'I think.' } },
    expect.objectContaining({
      sessionUpdate: 'tool_call',
      toolCallId: 'tool-1',
      title: 'Bash: ls',
      kind: 'execute',
      status: 'in_progress',
    }),
    expect.objectContaining({ sessionUpdate: 'tool_call_update', toolCallId: 'tool-1', status: 'completed' }),
    { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: 'You said: work' } },
  ]);
});

test('a second prompt continues the thread, with the token that the file holds by then', async () => {
  const adapter = startAdapter();
  const sessionId = await adapter.open();
  await adapter.prompt(sessionId, 'first');
  await writeFile(join(home, 'key'), 'another-token-for-tests\n');
  await adapter.prompt(sessionId, 'second');
  const options = ['--execute', '--stream-json-thinking', '--stream-json-input', '--mode', 'low'];
  expect(await runs()).toEqual([
    { args: ['--no-archive-after-execute', ...options], token: 'token-of-amp-for-tests' },
    { args: ['threads', 'continue', 'T-of-tests', ...options], token: 'another-token-for-tests' },
  ]);
});

test('another process replays the session, and continues its thread', async () => {
  const first = startAdapter();
  const sessionId = await first.open();
  await first.prompt(sessionId, 'before');
  await first.kill();
  const second = startAdapter();
  await second.request('session/load', { sessionId, cwd: home, mcpServers: [] });
  expect(second.updates().slice(1)).toEqual(first.updates());
  expect(second.updates()[0]).toMatchObject({ sessionUpdate: 'user_message_chunk', content: { text: 'before' } });
  await second.prompt(sessionId, 'after');
  expect((await runs())[1]?.args.slice(0, 3)).toEqual(['threads', 'continue', 'T-of-tests']);
});

test('a cancelled prompt ends as cancelled, and ends Amp’s process', async () => {
  const adapter = startAdapter();
  const sessionId = await adapter.open();
  const answering = adapter.prompt(sessionId, 'hang');
  await adapter.heard(({ params }) => params?.update?.sessionUpdate === 'agent_thought_chunk');
  adapter.notify('session/cancel', { sessionId });
  expect((await answering).result).toEqual({ stopReason: 'cancelled' });
  expect((await adapter.prompt(sessionId, 'again')).result).toEqual({ stopReason: 'end_turn' });
});

test.each([
  ['reports an error', 'fail', 'Amp ended the turn with an error.'],
  ['ends without a result', 'die', 'Amp ended with exit code 3 without a result.'],
])('a prompt fails where Amp %s, and Amp’s own text is not forwarded', async (_what, prompt, message) => {
  const adapter = startAdapter();
  expect((await adapter.prompt(await adapter.open(), prompt)).error).toEqual({ code: -32603, message });
});

test('an unknown session and an unknown method are errors', async () => {
  const adapter = startAdapter();
  expect((await adapter.prompt('none', 'work')).error?.code).toBe(-32602);
  expect((await adapter.request('session/load', { sessionId: '../key', cwd: home })).error?.code).toBe(-32602);
  expect((await adapter.request('_session/rename', {})).error?.code).toBe(-32601);
});

test('each tool of Amp is rejected unless the policy is allow', () => {
  const paths = { home, workspace: home, gatewayUrl: 'http://127.0.0.1:9' };
  const [file] = amp.files({ paths, keyFile: '/key', model: 'low', permissions: 'ask' });
  const rules = [{ tool: '*', action: 'reject' }];
  expect(JSON.parse(file?.content ?? '')).toMatchObject({ 'amp.dangerouslyAllowAll': false, 'amp.permissions': rules });
});

const runsSchema = z.object({ args: z.array(z.string()), token: z.string() });

/** How Amp was called. */
async function runs(): Promise<z.infer<typeof runsSchema>[]> {
  const lines = (await readFile(join(home, 'runs.jsonl'), 'utf8')).trim().split('\n');
  return lines.map((line) => runsSchema.parse(JSON.parse(line)));
}

/** The adapter's process, as a client of ACP sees it. */
function startAdapter() {
  const { args } = amp.launch({ node: process.execPath, nodeModules: '/none', program: programFile('amp-acp') });
  const child = spawn(process.execPath, [...args.slice(0, -1), join(home, 'amp')], {
    env: { HOME: home, PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const messages: Message[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    messages.push(messageSchema.parse(JSON.parse(line)));
    for (const wake of waiting) wake();
  });
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  };
  onTestFinished(kill);
  let last = 0;
  const write = (message: object): void => void child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  const adapter = {
    kill,
    updates: () => messages.flatMap(({ params }) => (params?.update === undefined ? [] : [params.update])),
    notify: (method: string, params: object) => write({ method, params }),
    async heard(is: (message: Message) => boolean): Promise<Message> {
      for (;;) {
        const found = messages.find(is);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => waiting.add(resolve));
      }
    },
    request(method: string, params: object): Promise<Message> {
      const id = (last += 1);
      write({ id, method, params });
      return adapter.heard((message) => message.id === id);
    },
    async open(): Promise<string> {
      await adapter.request('initialize', { protocolVersion: 1, clientCapabilities: {} });
      const { result } = await adapter.request('session/new', { cwd: home, mcpServers: [] });
      return result?.sessionId ?? '';
    },
    prompt: (sessionId: string, text: string) => adapter.request('session/prompt', { sessionId, prompt: [{ type: 'text', text }] }),
  };
  return adapter;
}
