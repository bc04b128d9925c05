/** Between the server and an agent nothing is lost, and nothing that was posted twice arrives twice. */
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';

import { programFile } from '../../src/in-sandbox/programs.ts';

const shim = programFile('shim');
const runShim = (...command: string[]) => execa(process.execPath, [shim, '--', ...command], { reject: false, env: { HOME: home } });

async function ended(child: ReturnType<typeof runShim>): Promise<{ stdout: string; exitCode?: number | undefined }> {
  return child;
}

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
const ping = (after?: number): string => JSON.stringify({ method: '_valetkey/ping', params: { after } });
const receipt = (id: string): string => JSON.stringify({ jsonrpc: '2.0', method: '_valetkey/received', params: { id } });

/** An agent that says first what is given, then tells each line that it gets. */
const telling = (...first: string[]): string[] => [
  process.execPath,
  '-e',
  `const [, ...first] = process.argv; process.stdin.setEncoding('utf8'); let rest = '';
   process.stdin.on('data', (data) => {
     for (const line of first.splice(0)) process.stdout.write(line + '\\n');
     const lines = (rest + data).split('\\n');
     rest = lines.pop();
     for (const line of lines) console.log(JSON.stringify({ method: 'got', params: { line } }));
   });`,
  ...first,
];
const gotSchema = z.object({ method: z.literal('got'), params: z.object({ line: z.string() }) });
const gotIn = (stdout: string): string[] =>
  stdout.split('\n').flatMap((line) => {
    const { data } = gotSchema.safeParse(JSON.parse(line));
    return data === undefined ? [] : [data.params.line];
  });

test('a request reaches the agent once, a notification each time, a ping and an invalid message never', async () => {
  const note = JSON.stringify({ jsonrpc: '2.0', method: 'session/cancel' });
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 7, result: {} });
  const lines = [
    request('a', 'session/new'),
    note,
    ping(),
    request('a', 'session/new'),
    answer,
    note,
    request('b', 'session/new'),
    'no JSON',
  ];
  const child = runShim(...telling());
  child.stdin.end(`${lines.join('\n')}\n`);
  const { stdout, exitCode } = await child;
  expect(gotIn(stdout)).toEqual([request('a', 'session/new'), note, note, request('b', 'session/new')]);
  expect(exitCode).toBe(0);
});

test('the agent’s questions have ids of ours, and its own id with every digit gets the first answer', async () => {
  const ids = ['9007199254740993', '-1', '"q2"', '"q2"', '1e400', 'null'];
  const asks = ids.map((id) => `{"jsonrpc":"2.0","id":${id},"method":"session/request_permission","params":{}}`);
  const child = runAgent(...telling(...asks, '{"id":12345678901234567890,"method":"fs/read_text_file"}'));
  const lines = createInterface({ input: child.stdout });
  const asked: unknown[] = [];
  for await (const line of lines) {
    const { id, method } = z.object({ id: z.string().optional(), method: z.string() }).parse(JSON.parse(line));
    if (method !== 'session/request_permission') continue;
    asked.push(id);
    if (asked.length === ids.length) break;
  }
  expect(asked).toEqual(['q1', 'q2', 'q3', 'q4', 'q5', 'q6']);
  const answers = ['q1', 'q1', 'q2', 'q3', 'q4', 'q5', 'q6', 'q7', 7].map((id, n) => JSON.stringify({ jsonrpc: '2.0', id, result: { n } }));
  child.stdin.end(`${answers.join('\n')}\n`);
  const { stdout } = await child;
  expect(gotIn(stdout).slice(1)).toEqual([
    '{"jsonrpc":"2.0","id":12345678901234567890,"error":{"code":-32601,"message":"Method not found"}}',
    ...ids.map((id, n) => `{"jsonrpc":"2.0","id":${id},"result":{"n":${n === 0 ? 0 : n + 1}}}`),
  ]);
});

test('each post of a prompt is acknowledged before the agent says anything, and the prompt arrives once', async () => {
  const child = runShim(...telling());
  const prompt = request('turn-1', 'session/prompt');
  child.stdin.end(`${prompt}\n${prompt}\n`);
  const { stdout } = await child;
  expect(stdout.split('\n').slice(0, 2)).toEqual([receipt('turn-1'), receipt('turn-1')]);
  expect(gotIn(stdout)).toEqual([prompt]);
});

test('a ping is answered only where its sender does not have the newest message', async () => {
  const child = runShim(...telling());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.write(`${request('turn-1', 'session/prompt')}\n`);
  expect([(await lines.next()).value, gotIn((await lines.next()).value ?? '')]).toEqual([
    receipt('turn-1'),
    [request('turn-1', 'session/prompt')],
  ]);
  child.stdin.end(`${[ping(2), ping(), ping(3), ping(1), ping(3)].join('\n')}\n`);
  const newest = '{"jsonrpc":"2.0","method":"_valetkey/newest"}';
  expect([(await lines.next()).value, (await lines.next()).done]).toEqual([newest, true]);
  await child;
});

test('a line ends at a line feed only, on both sides', async () => {
  const odd = '\u2028\u2029\u0085\r\u000b';
  const child = runShim(...telling());
  child.stdin.end(`${JSON.stringify({ method: 'note', params: odd })}\n`);
  const { stdout } = await child;
  expect(gotIn(stdout).map((line) => JSON.parse(line) as unknown)).toEqual([{ method: 'note', params: odd }]);
  expect(gotIn(stdout)[0]).not.toMatch(/[\u2028\u2029]/);
  const said = JSON.stringify({ method: 'note', params: `a${odd}b` });
  expect((await ended(runAgent('printf', '%s', `\uFEFF${said}\r\n`))).stdout).toBe(said);
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

test('a prompt that the agent ends without starting it is sent again, at most three times', async () => {
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

test('a prompt that the agent started, or that was cancelled meanwhile, is not sent again', async () => {
  const note = '{"method":"note"}';
  const begun = `if (id === 'turn-1') console.log(${JSON.stringify(chunk('x'))}); ${notBegun}; if (id === 'turn-2') console.log(${JSON.stringify(note)});`;
  const child = runShim(process.execPath, '-e', answering(begun));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.write(`${request('turn-1', 'session/prompt')}\n`);
  expect([(await lines.next()).value, (await lines.next()).value]).toEqual([receipt('turn-1'), chunk('x')]);
  expect((await lines.next()).value).toContain('"times":1');
  child.stdin.write(`${request('turn-2', 'session/prompt')}\n`);
  // The answer, which is before the note, is held back until the prompt is sent again.
  expect([(await lines.next()).value, (await lines.next()).value]).toEqual([receipt('turn-2'), note]);
  child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'session/cancel' })}\n`);
  expect((await lines.next()).value).toMatch(/"id":"turn-2".*"times":2/);
  child.stdin.write(`${request('turn-3', 'session/prompt')}\n`);
  expect((await lines.next()).value).toBe(receipt('turn-3'));
  expect((await lines.next()).value).toMatch(/"id":"turn-3".*"times":6/);
  child.stdin.end();
  await child;
});

test('a prompt that an earlier process received does not reach the agent again: it gets its answer, or an error', async () => {
  const answersOnce = `require('readline').createInterface({ input: process.stdin }).on('line', (line) => { const { id } = JSON.parse(line); if (id === 'turn-1') console.log(JSON.stringify({ id, result: {} })); else process.exit(1); })`;
  const first = runShim(process.execPath, '-e', answersOnce);
  first.stdin.write(`${request('turn-1', 'session/prompt')}\n${request('turn-2', 'session/prompt')}\n`);
  expect((await first).exitCode).toBe(1);

  const second = runShim(...telling());
  const prompts = ['turn-1', 'turn-2', 'turn-3'].map((id) => request(id, 'session/prompt'));
  second.stdin.end(`${prompts.join('\n')}\n`);
  expect((await second).stdout.split('\n').map((line) => JSON.parse(line) as unknown)).toEqual([
    JSON.parse(receipt('turn-1')),
    { id: 'turn-1', result: {} },
    JSON.parse(receipt('turn-2')),
    expect.objectContaining({ id: 'turn-2', error: expect.objectContaining({ code: -31001 }) as unknown }),
    JSON.parse(receipt('turn-3')),
    { method: 'got', params: { line: prompts[2] } },
  ]);
});

test('updates that the agent repeats while it loads a session are dropped', async () => {
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

test('the newest messages sent are in the backlog, unchanged and numbered', async () => {
  const kept = join(home, '.valetkey/backlog.jsonl');
  const few = runShim(...telling(chunk('1'), chunk('2'), chunk('3'), 'no JSON'));
  few.stdin.end(`${request('turn-1', 'session/prompt')}\n\n   \nno JSON\n`);
  const { stdout } = await few;
  expect(await readFile(kept, 'utf8')).toBe(`{"first":1}\n${stdout}\n`);
  expect((await stat(kept)).mode & 0o777).toBe(0o600);

  // A new process counts from 1, and a file that is full begins anew.
  const long = `for (let n = 1; n <= 1000; n += 1) console.log(JSON.stringify({ method: 'm', n, long: 'x'.repeat(60 * 1024) }))`;
  const many = await runAgent(process.execPath, '-e', long);
  const [head, ...lines] = (await readFile(kept, 'utf8')).trimEnd().split('\n');
  const { first } = z.object({ first: z.number() }).parse(JSON.parse(head ?? ''));
  expect(first).toBeGreaterThan(500);
  expect(lines).toEqual(many.stdout.split('\n').slice(first - 1));
});

test('a full disk does not stop messages to the server', async () => {
  await writeFile(join(home, '.valetkey'), 'no folder');
  const child = runAgent('printf', '%s', `${chunk('1')}\n${chunk('2')}\n`);
  expect((await child).stdout).toBe(`${chunk('1')}\n${chunk('2')}`);
});

test('a prompt that cannot be recorded fails, and does not reach the agent', async () => {
  await writeFile(join(home, '.valetkey'), 'no folder');
  const child = runShim(...telling());
  child.stdin.end(`${request('turn-1', 'session/prompt')}\n${request('a', 'session/new')}\n`);
  const { stdout } = await child;
  expect(stdout.split('\n').slice(0, 2)).toEqual([receipt('turn-1'), expect.stringContaining('"id":"turn-1","error":{"code":-32603')]);
  expect(gotIn(stdout)).toEqual([request('a', 'session/new')]);
});

test('a session whose MCP servers cannot get their environment fails, and the agent runs on', async () => {
  await mkdir(join(home, '.valetkey/environment.sh'), { recursive: true });
  const params = { cwd: home, mcpServers: [{ name: 'birds', command: 'birds', args: [], env: [] }] };
  const child = runShim(...telling());
  child.stdin.end(`${JSON.stringify({ jsonrpc: '2.0', id: 'a', method: 'session/new', params })}\n${request('b', 'session/new')}\n`);
  const { stdout } = await child;
  expect(stdout).toContain('could not be written');
  expect(gotIn(stdout)).toEqual([request('b', 'session/new')]);
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
  signalled.stdin.write(`${ping(-1)}\n`);
  await once(signalled.stdout, 'data');
  signalled.kill('SIGTERM');
  expect((await signalled).exitCode).toBe(143);
});

test('the shim waits neither for output that an agent’s children hold open nor for an agent that has closed its output', async () => {
  const beganMs = performance.now();
  const left = await runAgent('sh', '-c', 'sleep 30 & exit 3');
  expect(left.exitCode).toBe(3);
  const closed = await runAgent('sh', '-c', 'exec >&-; sleep 30');
  expect(closed.exitCode).toBe(137);
  expect(performance.now() - beganMs).toBeLessThan(40_000);
});

test('an agent that writes to its standard error or reads slowly stops nothing', async () => {
  const child = runAgent('sh', '-c', `head -c 50000000 /dev/zero >&2; printf '\\377\\n' >&2; echo '${chunk('after')}'`);
  expect(await child).toMatchObject({ exitCode: 0, stdout: chunk('after'), stderr: '' });
});

test('a signal to the shim reaches the agent', async () => {
  const child = runAgent('sh', '-c', 'trap "exit 5" TERM; echo {\\"method\\":1}; while :; do sleep 0.02; done');
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  expect((await child).exitCode).toBe(5);
});

function chunk(text: string, kind = 'agent_message_chunk', sessionId = 's', more: object = {}): string {
  const update = { sessionUpdate: kind, content: { type: 'text', text }, ...more };
  return JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { sessionId, update } });
}
