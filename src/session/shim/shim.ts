/**
 * Runs inside the sandbox, between the sandbox-agent server and the adapter of an agent: `node shim.ts -- <command> args…`.
 * It makes the session durable, and imports nothing but Node, because it is mounted alone. What it adds to a plain pipe:
 * - A request whose id it has seen does not reach the agent again: any worker may post the same request once more. One that
 *   was answered gets the same answer again. Its memory is as old as the agent's process, and so is the conversation.
 * - Prompts and their answers are remembered past that, in a file: in a new process that loaded the session, one that was
 *   answered before gets its answer, one that was not gets the error `INTERRUPTED`; neither reaches the agent again.
 * - What the agent repeats while it loads a session goes nowhere: it was told before.
 * - Each prompt is acknowledged by the notification `_valetkey/received {id}`, also when it is a repeat.
 * - A prompt that Claude Code ends without having begun it is sent to it again.
 * - The first answer to a request of the agent counts: two workers may both answer.
 * - `_valetkey/ping` ends here: that it could be written says that the agent's process lives.
 * - The agent is started by the first message for it, so this process can be there before the agent's files.
 * - Chunks of text that come fast are joined here, where the cut is the same for every reader, and the server's short memory
 *   of messages reaches further back.
 * - What the server has forgotten is in a file, line by line as it was passed on; its first line tells the number of the next.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

/** The first chunk passes at once, those of each 40 ms after it together, or as soon as they are this long. */
const JOIN_MS = 40;
const JOIN_CHARS = 4096;

/** Then the file of what was said begins anew. */
const MAX_KEPT_BYTES = 32 * 1024 * 1024;

/** Of the error by which a prompt is answered that an earlier process of the agent received and did not answer. */
const INTERRUPTED = -31001;

/**
 * How Claude Code 2.1 ends a prompt that comes just after a turn which failed or was cancelled: no model was asked
 * (claude-agent-acp 0.101.0 knows it as the empty user interruption, and lets those pass whose turn it did not cancel).
 */
const NOT_BEGUN = /\[ede_diagnostic\] result_type=user last_content_type=n\/a stop_reason=null/;
const AGAIN_MS = 200;
const MAX_AGAIN = 3;

interface Message {
  id?: unknown;
  method?: unknown;
  params?: unknown;
  answer?: unknown;
}

interface Chunk {
  message: object;
  content: { text: string };
  /** Equal for chunks that differ in their text only. */
  shape: string;
}

interface Prompt {
  line: string;
  /** The agent has said or done something, or is told to stop: it is not sent again. */
  begun: boolean;
  sentAgain: number;
}

const [command = '', ...args] = process.argv.slice(process.argv[2] === '--' ? 3 : 2);
if (command === '') {
  process.stderr.write('usage: shim -- <command> [args…]\n');
  process.exit(2);
}

const folder = join(homedir(), '.valetkey');
const journal = join(folder, 'prompts.jsonl');
const said = join(folder, 'said.jsonl');
/** Lines that were passed on: the server counts them, too. */
let passedOn = 0;
/** Of the file; at first there is none of this process. */
let keptBytes = Infinity;
/** Null before the first message for it. */
let agent: ChildProcessByStdio<Writable, Readable, null> | null = null;
/** Request id → the agent's answer as it came, null before. */
const requests = readJournal();
const prompts = new Map<unknown, Prompt>();
let newest: Prompt | null = null;
/** The answer that is kept back while a prompt waits to be sent again. */
let again: { sending: NodeJS.Timeout; answer: string } | null = null;
let loading: unknown = null;
const answered = new Set<unknown>();
let waiting: Chunk | null = null;
let timer: NodeJS.Timeout | null = null;

// The server is gone: so is the one who could read.
process.stdout.on('error', () => stop('SIGKILL'));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', fromServer)
  .on('close', () => agent?.stdin.end());

function startAgent(): ChildProcessByStdio<Writable, Readable, null> {
  const started = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  started.on('error', () => process.exit(127));
  started.on('close', (code, signal) => {
    flush();
    // Its last words go out first.
    process.stdout.write('', () => process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
  });
  // A write that fails means that the agent is gone: 'close' follows.
  started.stdin.on('error', () => {});
  createInterface({ input: started.stdout, crlfDelay: Infinity }).on('line', fromAgent);
  return started;
}

function stop(signal: NodeJS.Signals): void {
  if (agent === null) process.exit(128 + constants.signals[signal]);
  agent.kill(signal);
}

function fromServer(line: string): void {
  const { id, method } = parse(line);
  if (method === '_valetkey/ping') return;
  if (id === undefined) {
    if (method === 'session/cancel') leaveIt();
    return toAgent(line);
  }
  if (method === undefined) {
    if (answered.has(id)) return;
    answered.add(id);
    return toAgent(line);
  }
  if (method === 'session/prompt') toServer(JSON.stringify({ jsonrpc: '2.0', method: '_valetkey/received', params: { id } }));
  const answer = requests.get(id);
  if (answer !== undefined) {
    if (answer !== null) toServer(answer);
    return;
  }
  requests.set(id, null);
  if (method === 'session/load') loading = id;
  if (method === 'session/prompt') {
    newest = { line, begun: false, sentAgain: 0 };
    prompts.set(id, newest);
    remember({ id });
  }
  toAgent(line);
}

function fromAgent(line: string): void {
  const message = parse(line);
  if (loading !== null && message.method === 'session/update') return;
  if (newest !== null && begins(message)) newest.begun = true;
  const prompt = message.method === undefined ? prompts.get(message.id) : undefined;
  if (prompt !== undefined && sendsAgain(prompt, line)) return;
  if (message.method === undefined && requests.has(message.id)) {
    requests.set(message.id, line);
    if (message.id === loading) loading = null;
    if (prompt !== undefined) remember({ id: message.id, answer: line });
  }
  const chunk = asChunk(message);
  if (chunk === null) return toServer(line);
  if (waiting !== null && waiting.shape === chunk.shape) {
    waiting.content.text += chunk.content.text;
    if (waiting.content.text.length >= JOIN_CHARS) writeWaiting();
  } else if (timer === null) {
    toServer(line);
    timer = setTimeout(onTimer, JOIN_MS);
  } else {
    writeWaiting();
    waiting = chunk;
  }
}

function begins({ method, params }: Message): boolean {
  const kind = method === 'session/update' ? child(params, 'update')?.['sessionUpdate'] : undefined;
  return method === 'session/request_permission' || kind === 'plan' || /^(agent_|tool_)/.test(String(kind));
}

function sendsAgain(prompt: Prompt, answer: string): boolean {
  if (prompt.begun || prompt.sentAgain === MAX_AGAIN || !NOT_BEGUN.test(answer)) return false;
  prompt.sentAgain += 1;
  const sending = setTimeout(() => {
    again = null;
    toAgent(prompt.line);
  }, AGAIN_MS);
  again = { sending, answer };
  return true;
}

/** A cancel that came between the two would be lost on the agent. */
function leaveIt(): void {
  if (newest !== null) newest.begun = true;
  if (again === null) return;
  const { sending, answer } = again;
  again = null;
  clearTimeout(sending);
  fromAgent(answer);
}

/** Written before it is passed on: what another has seen is there. */
function remember(entry: { id: unknown; answer?: string }): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  appendFileSync(journal, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
}

function readJournal(): Map<unknown, string | null> {
  const answers = new Map<unknown, string | null>();
  if (!existsSync(journal)) return answers;
  for (const line of readFileSync(journal, 'utf8').split('\n')) {
    const { id, answer } = parse(line);
    if (id === undefined) continue;
    const interrupted = { jsonrpc: '2.0', id, error: { code: INTERRUPTED, message: 'Interrupted' } };
    answers.set(id, typeof answer === 'string' ? answer : JSON.stringify(interrupted));
  }
  return answers;
}

function onTimer(): void {
  timer = writeWaiting() ? setTimeout(onTimer, JOIN_MS) : null;
}

/** What waits goes first, so the order is the agent's. */
function toServer(line: string): void {
  flush();
  passOn(line);
}

/** Kept first: what another has seen is there. The server does not count blank lines (sandbox-agent 0.4.2). */
function passOn(line: string): void {
  if (line.trim() === '') return;
  passedOn += 1;
  keep(line);
  process.stdout.write(`${line}\n`);
}

/** What cannot be kept is a gap for the one who misses it. */
function keep(line: string): void {
  const text = `${line}\n`;
  try {
    if (keptBytes > MAX_KEPT_BYTES) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(said, `${JSON.stringify({ first: passedOn })}\n`, { mode: 0o600 });
      keptBytes = 0;
    }
    appendFileSync(said, text);
    keptBytes += Buffer.byteLength(text);
  } catch {
    keptBytes = Infinity;
  }
}

function toAgent(line: string): void {
  agent ??= startAgent();
  agent.stdin.write(`${line}\n`);
}

function flush(): void {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  writeWaiting();
}

/** Whether there was something. */
function writeWaiting(): boolean {
  if (waiting === null) return false;
  passOn(JSON.stringify(waiting.message));
  waiting = null;
  return true;
}

function asChunk(message: Message): Chunk | null {
  if (message.method !== 'session/update') return null;
  const update = child(message.params, 'update');
  const kind = update === null ? null : update['sessionUpdate'];
  if (kind !== 'agent_message_chunk' && kind !== 'agent_thought_chunk') return null;
  const content = child(update, 'content');
  if (content === null || !hasText(content)) return null;
  const shape = JSON.stringify(message, (key, value: unknown) => (key === 'text' && typeof value === 'string' ? '' : value));
  return { message, content, shape };
}

function child(parent: unknown, key: string): Record<string, unknown> | null {
  const value: unknown = isObject(parent) ? parent[key] : null;
  return isObject(value) ? value : null;
}

function hasText(content: Record<string, unknown>): content is { text: string } {
  return content['type'] === 'text' && typeof content['text'] === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A line that is no JSON object is passed on as it is. */
function parse(line: string): Message {
  try {
    const message: unknown = JSON.parse(line);
    return isObject(message) ? message : {};
  } catch {
    return {};
  }
}
