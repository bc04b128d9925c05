/** Between the server and an agent nothing is lost, and nothing that was posted twice arrives twice. */
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';

const shim = join(import.meta.dirname, '../../src/session/shim/shim.ts');
const runShim = (...command: string[]) => execa(process.execPath, [shim, '--', ...command], { reject: false, env: { HOME: home } });

/** The agent is there with the first line that is for it. */
function runAgent(...command: string[]): ReturnType<typeof runShim> {
  const child = runShim(...command);
  child.stdin.write('{}\n');
  return child;
}

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'valetkey-shim-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const updateSchema = z.object({ params: z.object({ update: z.object({ content: z.object({ text: z.string() }).optional() }) }) });

const request = (id: string, method: string): string => JSON.stringify({ jsonrpc: '2.0', id, method, params: {} });
const receipt = (id: string): string => JSON.stringify({ jsonrpc: '2.0', method: '_valetkey/received', params: { id } });

test('a request and an answer of ours reach the agent once, a notification each time, a ping never', async () => {
  const note = JSON.stringify({ jsonrpc: '2.0', method: 'session/cancel' });
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 7, result: {} });
  const ping = JSON.stringify({ jsonrpc: '2.0', method: '_valetkey/ping' });
  const lines = [
    request('a', 'session/new'),
    note,
    ping,
    request('a', 'session/new'),
    answer,
    note,
    answer,
    request('b', 'session/new'),
    'no JSON',
  ];
  const child = runShim('cat');
  child.stdin.end(`${lines.join('\n')}\n`);
  const { stdout, exitCode } = await child;
  expect(stdout.split('\n')).toEqual([request('a', 'session/new'), note, answer, note, request('b', 'session/new'), 'no JSON']);
  expect(exitCode).toBe(0);
});

test('each post of a prompt is acknowledged before the agent says anything, and the prompt arrives once', async () => {
  const child = runShim('cat');
  const prompt = request('turn-1', 'session/prompt');
  child.stdin.end(`${prompt}\n${prompt}\n`);
  const { stdout } = await child;
  expect(stdout.split('\n').toSorted()).toEqual([receipt('turn-1'), receipt('turn-1'), prompt].toSorted());
  expect(stdout.split('\n')[0]).toBe(receipt('turn-1'));
});

test('a request that was answered is answered again without the agent', async () => {
  const agent = `require('readline').createInterface({ input: process.stdin }).on('line', (line) => console.log(JSON.stringify({ id: JSON.parse(line).id, result: { times: ++times } }))); let times = 0;`;
  const child = runShim(process.execPath, '-e', agent);
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  for (let time = 0; time < 3; time += 1) {
    child.stdin.write(`${request('a', 'session/new')}\n`);
    expect((await answers.next()).value).toBe('{"id":"a","result":{"times":1}}');
  }
  child.stdin.end();
  expect((await child).exitCode).toBe(0);
});

/** An agent in JavaScript: `says` is what it prints for the prompt that comes as its number `times`, from 1. */
function answering(says: string): string {
  return `let times = 0; require('readline').createInterface({ input: process.stdin }).on('line', (line) => { const { id, method } = JSON.parse(line); if (method !== 'session/prompt') return; times += 1; ${says} })`;
}

const notBegun = `console.log(JSON.stringify({ id, result: { title: '[ede_diagnostic] result_type=user last_content_type=n/a stop_reason=null', times } }))`;

test('a prompt that the agent ends without having begun it is sent again, three times at most', async () => {
  const third = `if (id === 'turn-2' || times < 3) ${notBegun}; else console.log(JSON.stringify({ id, result: { times } }));`;
  const child = runShim(process.execPath, '-e', answering(third));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.write(`${request('turn-1', 'session/prompt')}\n`);
  expect([(await lines.next()).value, (await lines.next()).value]).toEqual([receipt('turn-1'), '{"id":"turn-1","result":{"times":3}}']);
  child.stdin.write(`${request('turn-2', 'session/prompt')}\n`);
  expect((await lines.next()).value).toBe(receipt('turn-2'));
  expect((await lines.next()).value).toMatch(/ede_diagnostic.*"times":7/);
  child.stdin.end();
  await child;
});

test('one that it has begun is not, nor one that is cancelled meanwhile', async () => {
  const begun = `if (id === 'turn-1') console.log(${JSON.stringify(chunk('x'))}); ${notBegun};`;
  const child = runShim(process.execPath, '-e', answering(begun));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.write(`${request('turn-1', 'session/prompt')}\n`);
  expect([(await lines.next()).value, (await lines.next()).value]).toEqual([receipt('turn-1'), chunk('x')]);
  expect((await lines.next()).value).toContain('"times":1');
  child.stdin.write(`${request('turn-2', 'session/prompt')}\n`);
  expect((await lines.next()).value).toBe(receipt('turn-2'));
  child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'session/cancel' })}\n`);
  expect((await lines.next()).value).toMatch(/"id":"turn-2".*"times":2/);
  child.stdin.end();
  await child;
});

test('a prompt that an earlier process received and did not answer does not reach the agent again, one that it answered is', async () => {
  const answersOnce = `require('readline').createInterface({ input: process.stdin }).on('line', (line) => { const { id } = JSON.parse(line); if (id === 'turn-1') console.log(JSON.stringify({ id, result: {} })); else process.exit(1); })`;
  const first = runShim(process.execPath, '-e', answersOnce);
  first.stdin.write(`${request('turn-1', 'session/prompt')}\n${request('turn-2', 'session/prompt')}\n`);
  expect((await first).exitCode).toBe(1);

  const second = runShim('cat');
  const prompts = ['turn-1', 'turn-2', 'turn-3'].map((id) => request(id, 'session/prompt'));
  second.stdin.end(`${prompts.join('\n')}\n`);
  expect((await second).stdout.split('\n').map((line) => JSON.parse(line) as unknown)).toEqual([
    JSON.parse(receipt('turn-1')),
    { id: 'turn-1', result: {} },
    JSON.parse(receipt('turn-2')),
    expect.objectContaining({ id: 'turn-2', error: expect.objectContaining({ code: -31001 }) as unknown }),
    JSON.parse(receipt('turn-3')),
    JSON.parse(prompts[2] ?? ''),
  ]);
});

test('what the agent repeats of a session while it loads it goes nowhere', async () => {
  const load = request('session', 'session/load');
  const agent = `require('readline').createInterface({ input: process.stdin }).on('line', () => console.log(${JSON.stringify(
    [chunk('before'), chunk('before'), JSON.stringify({ id: 'session', result: {} }), chunk('after')].join('\n'),
  )}))`;
  const child = runShim(process.execPath, '-e', agent);
  child.stdin.end(`${load}\n`);
  expect((await child).stdout.split('\n')).toEqual(['{"id":"session","result":{}}', chunk('after')]);
});

test('chunks of different kinds, sessions and messages are not joined, and everything keeps its order', async () => {
  const lines = [
    chunk('1'),
    chunk('2'),
    chunk('3'),
    chunk('4', 'agent_thought_chunk'),
    chunk('5', 'agent_thought_chunk'),
    chunk('6', 'agent_message_chunk', 'other'),
    chunk('7', 'agent_message_chunk', 's', { messageId: 'm' }),
    JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { update: { sessionUpdate: 'plan' } } }),
    chunk('8'),
  ];
  const child = runAgent('printf', '%s', `${lines.join('\n')}\n`);
  const { stdout } = await child;
  const texts = stdout.split('\n').map((line) => updateSchema.parse(JSON.parse(line)).params.update.content?.text ?? 'plan');
  expect(texts.join('')).toBe('1234567plan8');
  expect(texts).toContain('23');
  expect(texts).toContain('45');
  expect(texts.filter((text) => text.length === 1 && '67'.includes(text))).toEqual(['6', '7']);
});

test('what was passed on is kept as it was, by its number, the newest of it', async () => {
  const kept = join(home, '.valetkey/said.jsonl');
  const few = runShim('cat');
  few.stdin.end(`${request('turn-1', 'session/prompt')}\n\n   \nno JSON\n${chunk('1')}\n${chunk('2')}\n${chunk('3')}\n`);
  const { stdout } = await few;
  expect(await readFile(kept, 'utf8')).toBe(`{"first":1}\n${stdout}\n`);
  expect((await stat(kept)).mode & 0o777).toBe(0o600);

  // A new process counts from 1, and a file that is full begins anew.
  const long = `for (let n = 1; n <= 40; n += 1) console.log(JSON.stringify({ n, long: 'x'.repeat(1024 * 1024) }))`;
  const many = await runAgent(process.execPath, '-e', long);
  const [head, ...lines] = (await readFile(kept, 'utf8')).trimEnd().split('\n');
  expect(head).toBe('{"first":33}');
  expect(lines).toEqual(many.stdout.split('\n').slice(32));
});

test('a disk that is full keeps nothing from the server', async () => {
  await writeFile(join(home, '.valetkey'), 'no folder');
  const child = runShim('cat');
  child.stdin.end('one\ntwo\n');
  expect((await child).stdout).toBe('one\ntwo');
});

test.each([
  ['an exit code', ['sh', '-c', 'exit 7'], 7],
  ['a signal', ['sh', '-c', 'kill -9 $$'], 137],
  ['a command that is not there', ['valetkey-no-such-command'], 127],
])('%s of the agent is the shim’s', async (_what, command, exitCode) => {
  expect((await runAgent(...command)).exitCode).toBe(exitCode);
});

test('no agent is started before there is a message for it, and a signal or the end of the server ends the shim', async () => {
  const started = join(home, 'started');
  const idle = runShim('touch', started);
  idle.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', method: '_valetkey/ping' })}\n`);
  idle.stdin.end();
  expect((await idle).exitCode).toBe(0);
  await expect(access(started)).rejects.toThrow('ENOENT');
  const signalled = runShim('touch', started);
  await sleep(300);
  signalled.kill('SIGTERM');
  expect((await signalled).exitCode).toBe(143);
});

test('a signal to the shim reaches the agent', async () => {
  const child = runAgent('sh', '-c', 'trap "exit 5" TERM; echo ready; while :; do sleep 0.02; done');
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  expect((await child).exitCode).toBe(5);
});

function chunk(text: string, kind = 'agent_message_chunk', sessionId = 's', more: object = {}): string {
  const update = { sessionUpdate: kind, content: { type: 'text', text }, ...more };
  return JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { sessionId, update } });
}
