import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';

import { mock } from '../../src/agents/mock.ts';
import { programFile } from '../../src/in-sandbox/programs.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const messageSchema = z.object({
  id: z.union([z.string(), z.number()]).optional(),
  method: z.string().optional(),
  params: z
    .object({ update: z.looseObject({ content: z.looseObject({ text: z.string() }).optional().catch(undefined) }) })
    .optional()
    .catch(undefined),
  result: z.looseObject({}).optional(),
  error: z.object({ code: z.number() }).optional(),
});
type Message = z.infer<typeof messageSchema>;

let home: string;
beforeEach(async () => {
  home = await temporaryFolder();
  for (const { path, content } of mock.files({
    paths: { home, workspace: home, gatewayUrl: 'http://127.0.0.1:1' },
    ...{ keyFile: join(home, 'key'), model: 'gpt-5.1', permissions: 'ask' },
  })) {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, content);
  }
  await writeFile(join(home, 'key'), 'key-for-tests');
});

test('the lines say, think, run and write work; a command requests permission first', async () => {
  const agent = start();
  const sessionId = await agent.open();
  const { result } = await agent.prompt(
    sessionId,
    '!say one\n!think two\n!run echo three\n!write it.txt four five\n!ask may I?\n!chunks 2 1',
  );
  expect(result).toEqual({ stopReason: 'end_turn' });
  expect(agent.texts('agent_message_chunk')).toEqual(['one', 'allowed', 'chunk 1\n', 'chunk 2\n']);
  expect(agent.texts('agent_thought_chunk')).toEqual(['two']);
  expect(await readFile(join(home, 'it.txt'), 'utf8')).toBe('four five');
  expect(agent.messages.filter(({ method }) => method === 'session/request_permission')).toHaveLength(3);
});

test('another process continues the conversation of one that crashed', async () => {
  const first = start();
  const sessionId = await first.open();
  await first.prompt(sessionId, '!say one');
  void first.prompt(sessionId, 'second prompt\n!crash');
  await first.gone;
  const next = start();
  expect((await next.call('session/load', { sessionId, cwd: home, mcpServers: [] })).result).toEqual({});
  expect(next.texts('user_message_chunk')).toEqual(['!say one', 'second prompt\n!crash']);
  await next.prompt(sessionId, '!recall');
  expect(next.texts('agent_message_chunk').at(-1)).toContain('second prompt');
});

test('a prompt that hangs or runs a command is cancelled at once, and one without lines goes to the LLM', async () => {
  const agent = start();
  const sessionId = await agent.open();
  for (const line of ['!hang', '!run touch begun; sleep 100']) {
    const answer = agent.prompt(sessionId, line);
    await agent.notify('session/cancel', { sessionId });
    expect((await answer).result).toEqual({ stopReason: 'cancelled' });
  }
  expect((await agent.prompt(sessionId, 'hello')).error).toEqual({ code: -32_603 });
});

function start() {
  const { command, args } = mock.launch({ node: process.execPath, nodeModules: '', program: programFile('mock-agent') });
  const child = spawn(command, args, { cwd: home, env: { HOME: home, PATH: '/usr/bin:/bin' }, stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const messages: Message[] = [];
  const waiting = new Map<string | number, (message: Message) => void>();
  const send = (message: object): void => void child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = messageSchema.parse(JSON.parse(line));
    messages.push(message);
    if (message.method === 'session/request_permission')
      send({ id: message.id, result: { outcome: { outcome: 'selected', optionId: 'yes' } } });
    else if (message.id !== undefined) waiting.get(message.id)?.(message);
  });
  let calls = 0;
  const call = (method: string, params: object): Promise<Message> => {
    const id = `call-${(calls += 1)}`;
    send({ id, method, params });
    return new Promise((resolve) => waiting.set(id, resolve));
  };
  return {
    messages,
    call,
    gone: once(child, 'exit'),
    notify: async (method: string, params: object) => send({ method, params }),
    async open() {
      await call('initialize', { protocolVersion: 1, clientCapabilities: {} });
      const { result } = await call('session/new', { cwd: home, mcpServers: [] });
      return z.object({ sessionId: z.string() }).parse(result).sessionId;
    },
    prompt: (sessionId: string, text: string) => call('session/prompt', { sessionId, prompt: [{ type: 'text', text }] }),
    texts: (kind: string) =>
      messages.flatMap(({ params }) => (params?.update['sessionUpdate'] === kind ? [params.update.content?.text ?? ''] : [])),
  };
}
