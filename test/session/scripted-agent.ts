/**
 * An agent that does what the prompt says, one command a line, over ACP on stdio. It appends each prompt that it gets to
 * `prompts.log` in its home, and knows the prompts of its session, also of one that it loads. Its home may hold `crash-at-start`,
 * `hang-at-start`, `hang-at-load`, `fail-at-load`, `cannot-load` and `slow-cancel`.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, closeSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { Client, METHOD_NOT_FOUND, RpcError } from '../../src/in-sandbox/json-rpc/client.ts';
import { child, objects, text as textOf, type Json } from '../../src/in-sandbox/json-rpc/json.ts';

/** Resolves to the result of the prompt, where it is not that of the last command. */
type Command = (args: string[], text: string) => Promise<object | void> | object | void;

const home = process.env['HOME'] ?? '/';
const client = new Client();
let prompts: string[] = [];
let cancelled = Promise.withResolvers<object>();

if (existsSync(join(home, 'crash-at-start'))) process.exit(3);

writeFileSync(join(home, 'agent.pid'), String(process.pid));

client.serve((method, params) => (existsSync(join(home, 'hang-at-start')) ? new Promise(() => {}) : handle(method, params)));

async function handle(method: string, params: Json): Promise<object> {
  switch (method) {
    case 'initialize':
      return { protocolVersion: 1, agentCapabilities: { loadSession: !existsSync(join(home, 'cannot-load')) } };
    case 'session/load':
      return await load();
    case 'session/new':
      return { sessionId: 'session-1' };
    case 'session/cancel':
      if (existsSync(join(home, 'slow-cancel'))) await sleep(2500);
      cancelled.resolve({ stopReason: 'cancelled' });
      return {};
    case 'session/prompt': {
      const prompt = textOf(objects(params['prompt'])[0]?.['text']);
      appendFileSync(join(home, 'prompts.log'), `${JSON.stringify(prompt)}\n`);
      cancelled = Promise.withResolvers();
      return await Promise.race([run(prompt), cancelled.promise]).finally(() => prompts.push(prompt));
    }
    default:
      throw new RpcError(METHOD_NOT_FOUND, 'Method not found');
  }
}

/** Repeats the session before it answers, as real agents do. */
async function load(): Promise<object> {
  if (existsSync(join(home, 'hang-at-load'))) return await new Promise(() => {});
  if (existsSync(join(home, 'fail-at-load'))) throw new RpcError(-32002, 'a text that may hold anything');
  const log = readFileSync(join(home, 'prompts.log'), 'utf8').trim();
  prompts = log.split('\n').map((line) => z.string().parse(JSON.parse(line)));
  for (const text of prompts) {
    update({ sessionUpdate: 'user_message_chunk', content: { type: 'text', text } });
    say(`said before: ${text}`);
  }
  return {};
}

async function run(prompt: string): Promise<object> {
  for (const line of prompt.split('\n')) {
    const [name = '', ...args] = line.split(' ');
    const result = await commands[name]?.(args, line.slice(name.length + 1));
    if (result) return result;
  }
  return { stopReason: 'end_turn' };
}

const commands: Record<string, Command> = {
  say: (_args, text) => say(text),
  think: (_args, text) => update({ sessionUpdate: 'agent_thought_chunk', content: { type: 'text', text } }),
  recall: () => say(prompts.map((prompt) => prompt.split('\n')[0]).join(', ')),
  /** `count 200 5`: the numbers from 1 to 200, one each 5 ms. */
  count: async ([to, everyMs]) => {
    for (let n = 1; n <= Number(to); n += 1) {
      say(`${n} `);
      await sleep(Number(everyMs));
    }
  },
  /** `flood 1500`: so many messages that are not joined. */
  flood: ([times]) => {
    for (let n = 1; n <= Number(times); n += 1)
      update({ sessionUpdate: 'plan', entries: [{ content: `step ${n}`, status: 'pending', priority: 'high' }] });
  },
  /** `steps 200 5`: so many messages that are not joined, one each 5 ms. */
  steps: async ([times, everyMs]) => {
    for (let n = 1; n <= Number(times); n += 1) {
      update({ sessionUpdate: 'plan', entries: [{ content: `step ${n}`, status: 'pending', priority: 'high' }] });
      await sleep(Number(everyMs));
    }
  },
  /** `raw "…"`: the text that this JSON is, a byte for each character, as a line. */
  raw: (_args, text) => void process.stdout.write(Buffer.from(`${z.string().parse(JSON.parse(text))}\n`, 'latin1')),
  /** `huge 1000000`: a tool call whose output is so long. */
  huge: ([chars]) => {
    const toolCallId = 'huge';
    update({ sessionUpdate: 'tool_call', toolCallId, title: 'cat', kind: 'execute', status: 'in_progress' });
    const content = [{ type: 'content', content: { type: 'text', text: `first ${'x'.repeat(Number(chars))} last` } }];
    update({ sessionUpdate: 'tool_call_update', toolCallId, status: 'completed', content, rawOutput: { content } });
  },
  /** `recite 1000`: a text of so many words, in one message. */
  recite: ([times]) => say('word \u{1F642} '.repeat(Number(times))),
  /** `huge-answer 1000000`: an answer to the prompt that is so long. */
  'huge-answer': ([chars]) => ({ stopReason: 'end_turn', _meta: { text: 'x'.repeat(Number(chars)) } }),
  /** `deep 100000`: a tool call whose input is so deep. */
  deep: ([levels]) => {
    const nested = `${'['.repeat(Number(levels))}${']'.repeat(Number(levels))}`;
    const call = { sessionUpdate: 'tool_call', toolCallId: 'deep', title: 'deep', status: 'completed', rawInput: 0 };
    const line = JSON.stringify({ method: 'session/update', params: { sessionId: 'session-1', update: call } });
    process.stdout.write(`${line.replace('"rawInput":0', `"rawInput":${nested}`)}\n`);
  },
  /** `beg 1000`: so many requests for files. */
  beg: ([times]) => {
    for (let n = 1; n <= Number(times); n += 1) void client.request('fs/read_text_file', { path: '/etc/passwd' });
  },
  /** `ask-all 1000`: so many questions at once. */
  'ask-all': async ([times]) => {
    const options = [{ optionId: 'yes', name: 'Yes', kind: 'allow_once' }];
    const answers = Array.from({ length: Number(times) }, (_, n) =>
      requestPermission({ toolCallId: 'tool', title: `all-${n + 1}` }, options),
    );
    say(`allowed: ${(await Promise.all(answers)).filter((answer) => answer === 'yes').length}`);
  },
  /** `complain 1000000`: so many bytes on its standard error that are no UTF-8. */
  complain: ([bytes]) => void process.stderr.write(Buffer.alloc(Number(bytes), 255)),
  /** Closes its standard output and lives on. */
  close: () => {
    closeSync(1);
    return new Promise(() => {});
  },
  /** Leaves a process that holds its output, and ends. */
  fork: () => {
    spawn('sleep', ['60'], { stdio: 'inherit', detached: true }).unref();
    process.exit(1);
  },
  /** What is no message, as an agent prints that logs to its standard output. */
  babble: () => void process.stdout.write('no JSON\n\n[1]\n'),
  /** `background-flood go 1500 done`: the same beside what follows, once the home has `go`. */
  'background-flood': ([start = '', times = '']) =>
    void (async () => {
      await commands['wait']?.([start], start);
      await commands['flood']?.([times], times);
    })(),
  /** `wait go`: until the home has that file. */
  wait: async ([name = '']) => {
    while (!existsSync(join(home, name))) await sleep(10);
  },
  touch: ([name = '']) => writeFileSync(join(home, name), ''),
  tool: () => {
    const toolCallId = `tool-${prompts.length}`;
    update({ sessionUpdate: 'tool_call', toolCallId, title: 'Write a file', kind: 'edit', status: 'in_progress' });
    const diff = { type: 'diff', path: 'a.txt', oldText: 'old\n', newText: 'new\n' };
    update({ sessionUpdate: 'tool_call_update', toolCallId, status: 'completed', content: [diff] });
  },
  /** A command whose output comes in pieces. */
  run: () => {
    const toolCallId = `run-${prompts.length}`;
    const piece = (data: string): void => update({ sessionUpdate: 'tool_call_update', toolCallId, _meta: { terminal_output: { data } } });
    update({
      sessionUpdate: 'tool_call',
      toolCallId,
      title: 'ls',
      kind: 'execute',
      status: 'in_progress',
      content: [{ type: 'terminal' }],
    });
    piece('a.txt\n');
    piece('b.txt\n');
    update({ sessionUpdate: 'tool_call_update', toolCallId, status: 'completed' });
  },
  /** The same, beside a question that comes in its middle. */
  'run-and-ask': async () => {
    const toolCallId = 'run-and-ask';
    const piece = (data: string): void => update({ sessionUpdate: 'tool_call_update', toolCallId, _meta: { terminal_output: { data } } });
    update({ sessionUpdate: 'tool_call', toolCallId, title: 'ls', kind: 'execute', status: 'in_progress' });
    piece('before\n');
    const asking = commands['ask']?.([], '');
    for (let n = 1; n <= 50; n += 1) piece(`${n}\n`);
    await asking;
    piece('after\n');
    update({ sessionUpdate: 'tool_call_update', toolCallId, status: 'completed' });
  },
  plan: () => update({ sessionUpdate: 'plan', entries: [{ content: 'Look', status: 'pending', priority: 'high' }] }),
  /** `ask`: leave for something; `ask reject_once`: with options of those kinds only. */
  ask: async (kinds) => {
    const options = [
      { optionId: 'never', name: 'Never', kind: 'reject_always' },
      { optionId: 'no', name: 'No', kind: 'reject_once' },
      { optionId: 'always', name: 'Always', kind: 'allow_always' },
      { optionId: 'yes', name: 'Yes', kind: 'allow_once' },
    ].filter(({ kind }) => kinds.length === 0 || kinds.includes(kind));
    const title = join(home, 'title');
    const about = join(home, 'tool-call.json');
    const toolCall = {
      toolCallId: 'tool',
      title: existsSync(title) ? readFileSync(title, 'utf8') : 'Remove a file',
      kind: 'delete',
      ...(existsSync(about) && z.looseObject({}).parse(JSON.parse(readFileSync(about, 'utf8')))),
    };
    say(`answer: ${await requestPermission(toolCall, options)}`);
  },
  read: async () => {
    const result = await client.request('fs/read_text_file', { sessionId: 'session-1', path: '/etc/passwd' });
    say(`read: ${result === undefined ? 'none' : 'something'}`);
  },
  fail: ([code]) => {
    throw new RpcError(Number(code), 'a text that may hold anything');
  },
  'fail-softly': () => ({ stopReason: 'end_turn', _meta: { jetbrains: { air: { sessionFailure: { severity: 'error' } } } } }),
  stop: ([stopReason]) => ({ stopReason }),
  hang: () => new Promise(() => {}),
  crash: () => process.exit(1),
};

function say(text: string): void {
  update({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } });
}

function update(body: object): void {
  client.notify('session/update', { sessionId: 'session-1', update: body });
}

/** Resolves to the option that was selected. */
async function requestPermission(toolCall: object, options: object[]): Promise<string> {
  const result = await client.request('session/request_permission', { sessionId: 'session-1', toolCall, options });
  return textOf(child(result, 'outcome')?.['optionId']) || 'none';
}
