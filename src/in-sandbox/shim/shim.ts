/**
 * Runs inside the sandbox, between the sandbox-agent server and the adapter of an agent: `node shim.ts -- <command> args…`. It
 * makes the session durable. It imports nothing but Node and its own folder, because only that folder is copied into the sandbox.
 * Beyond a plain pipe it does the following:
 * - Requests are deduplicated by id: any worker may post the same request again, and it reaches the agent once. A request that was
 *   answered gets the same answer again. This memory lasts as long as the agent’s process, as the conversation does.
 * - Prompts and their answers are also recorded in a file. In a new process that loaded the session, a prompt that was answered
 *   gets its answer again, and one that was not gets the error `INTERRUPTED`; neither reaches the agent again.
 * - Updates that the agent repeats while it loads a session are dropped, since they were sent before.
 * - Each prompt is acknowledged by the notification `_valetkey/received {id}`, also when it is a repeat.
 * - A prompt that Claude Code ended without starting it is sent to it again.
 * - The agent’s requests get ids of ours, and only the first answer to each counts.
 * - `_valetkey/ping {after}` is not forwarded: that it can be written shows that the agent’s process runs. `after` is the number
 *   of the newest message that the sender has; where it is not the newest, `_valetkey/newest` is sent, and the sender sees a gap.
 * - The agent starts with the first message for it, so the shim can start before the agent’s files exist.
 * - Chunks of text that arrive in quick succession are joined.
 * - Every message sent is also appended to a file, because the server’s buffer is short.
 * - Whatever the agent writes, the server and the worker can read what is sent: messages that are too long, too deep or not
 *   well-formed are made to fit. A line that is not JSON is dropped, and reported by `_valetkey/unreadable {bytes}` where it
 *   begins like a message.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

import { AgentRequests } from './agent-requests.ts';
import { Backlog } from './backlog.ts';
import { ChunkJoiner } from './chunk-joiner.ts';
import { readJournal, appendToJournal } from './journal.ts';
import { readLines } from './lines.ts';
import { child, parseMessage, readMessage, type Message } from './message.ts';

/** The longest line of the agent; a tool’s output is in one line. */
const MAX_AGENT_LINE_BYTES = 64 * 1024 * 1024;
/** The longest line of the server. A prompt has at most 256 KiB. */
const MAX_SERVER_LINE_BYTES = 16 * 1024 * 1024;

/** The agent’s children may hold its output open after it has ended. */
const OUTPUT_DRAIN_MS = 1000;
/** An agent that has closed its output can answer nothing and is killed after this time. */
const CLOSED_OUTPUT_KILL_DELAY_MS = 5000;

/**
 * Claude Code 2.1 ends a prompt in this way, without calling a model, where it comes just after a turn that failed or was
 * cancelled. (claude-agent-acp 0.101.0 calls it the empty user interruption, and forwards those of turns that it did not cancel.)
 */
const PROMPT_NOT_STARTED = /\[ede_diagnostic\] result_type=user last_content_type=n\/a stop_reason=null/;
const RESEND_DELAY_MS = 200;
const MAX_RESENDS = 3;

interface Prompt {
  line: string;
  /** The agent has sent something for the prompt, or has received a cancel for it: it is not sent again. */
  started: boolean;
  resends: number;
}

const [command = '', ...args] = process.argv.slice(process.argv[2] === '--' ? 3 : 2);
if (command === '') {
  process.stderr.write('usage: shim -- <command> [args…]\n');
  process.exit(2);
}

const folder = join(homedir(), '.valetkey');
const journal = join(folder, 'prompts.jsonl');
const backlog = new Backlog(join(folder, 'backlog.jsonl'));
/** The number of lines sent; the server counts them, too. */
let linesSent = 0;
/** The agent’s process; null before the first message for the agent. */
let agent: ChildProcessByStdio<Writable, Readable, null> | null = null;
/** Request id → the agent’s answer as it arrived; null while the request is open. */
const requests = readJournal(journal);
const prompts = new Map<unknown, Prompt>();
let newestPrompt: Prompt | null = null;
/** The answer that is held back while a prompt waits to be sent again. */
let resend: { timer: NodeJS.Timeout; answer: string } | null = null;
let loading: unknown = null;
const questions = new AgentRequests(toAgent);
const chunks = new ChunkJoiner(sendLine);

// Without the server nobody reads the output.
process.stdout.on('error', () => stop('SIGKILL'));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);

readLines(process.stdin, MAX_SERVER_LINE_BYTES, { onLine: fromServer, onTooLong: () => {} });
process.stdin.on('close', () => agent?.stdin.end());

/**
 * Starts the agent. Its standard error is dropped: the server would store it, would stop reading at the first invalid UTF-8, and
 * nobody reads it.
 */
function startAgent(): ChildProcessByStdio<Writable, Readable, null> {
  const started = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  started.on('error', () => process.exit(127));
  started.on('close', end);
  started.on('exit', (code, signal) => void setTimeout(end, OUTPUT_DRAIN_MS, code, signal));
  // A write fails where the agent has ended: `close` follows.
  started.stdin.on('error', () => {});
  started.stdout.on('end', () => void setTimeout(() => started.kill('SIGKILL'), CLOSED_OUTPUT_KILL_DELAY_MS));
  readLines(started.stdout, MAX_AGENT_LINE_BYTES, { onLine: fromAgent, onTooLong: reportUnreadable });
  return started;
}

/** Exits as the agent did. */
function end(code: number | null, signal: NodeJS.Signals | null): void {
  chunks.flush();
  // Everything written before is flushed first.
  process.stdout.write('', () => process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
}

function stop(signal: NodeJS.Signals): void {
  if (agent === null) process.exit(128 + constants.signals[signal]);
  agent.kill(signal);
}

function fromServer(line: string): void {
  const message = parseMessage(line);
  if (message === null) return;
  const { id, method } = message;
  if (method === '_valetkey/ping') return ping(message);
  if (id === undefined) {
    if (method === 'session/cancel') cancelResend();
    return toAgent(line);
  }
  if (method === undefined) return questions.answer(id, message);
  if (method === 'session/prompt') toServer({ method: '_valetkey/received', params: { id } });
  const answer = requests.get(id);
  if (answer !== undefined) {
    if (answer !== null) chunks.add({ id }, answer);
    return;
  }
  requests.set(id, null);
  if (method === 'session/load') loading = id;
  if (method === 'session/prompt') {
    newestPrompt = { line, started: false, resends: 0 };
    prompts.set(id, newestPrompt);
    if (!appendToJournal(journal, { id })) return refuseUnrecorded(id);
  }
  toAgent(line);
}

/** Refuses a prompt that could not be recorded: it could run twice. */
function refuseUnrecorded(id: unknown): void {
  const message = { jsonrpc: '2.0', id, error: { code: -32603, message: 'The prompt could not be recorded: the disk may be full.' } };
  recordAnswer(message, JSON.stringify(message));
}

function ping({ params }: Message): void {
  const after = typeof params === 'object' && params !== null && 'after' in params ? params.after : null;
  if (typeof after === 'number' && after < linesSent) toServer({ method: '_valetkey/newest' });
}

function fromAgent(text: string): void {
  const line = text.replace(/^\uFEFF/, '').trim();
  // Some agents log to their standard output.
  if (!line.startsWith('{')) return;
  const read = readMessage(line);
  if (read === null) return reportUnreadable(line.slice(0, 4096), Buffer.byteLength(line));
  const { message } = read;
  if (/^_(valetkey|adapter)\//.test(String(message.method))) return;
  if (loading !== null && message.method === 'session/update') return;
  if (newestPrompt !== null && startsTurn(message)) newestPrompt.started = true;
  if (message.method === undefined) return recordAnswer(message, read.line);
  const passed = read.rawId === undefined ? read.line : questions.ask(read);
  if (passed !== null) chunks.add(message, passed);
}

/** Sends the first answer to a request, and drops any further one and any that no request waits for. */
function recordAnswer(message: Message, line: string): void {
  const { id } = message;
  if (requests.get(id) !== null) return;
  const prompt = prompts.get(id);
  if (prompt !== undefined && scheduleResend(prompt, line)) return;
  requests.set(id, line);
  if (id === loading) loading = null;
  if (prompt !== undefined) appendToJournal(journal, { id, answer: line });
  chunks.add(message, line);
}

/** Reports a line that cannot be read. Where it is an answer, its request is answered by an error, since a worker waits for it. */
function reportUnreadable(head: string, bytes: number): void {
  toServer({ method: '_valetkey/unreadable', params: { bytes } });
  if (head.includes('"method"')) return;
  const open = [...requests].flatMap(([id, answer]) => (answer === null ? [id] : []));
  const id = open.find((one) => head.replaceAll(/\s/g, '').includes(`"id":${JSON.stringify(one)}`));
  if (id === undefined) return;
  const message = { jsonrpc: '2.0', id, error: { code: -32603, message: 'The answer of the agent cannot be read.' } };
  recordAnswer(message, JSON.stringify(message));
}

function startsTurn({ method, params }: Message): boolean {
  const kind = method === 'session/update' ? child(params, 'update')?.['sessionUpdate'] : undefined;
  return method === 'session/request_permission' || kind === 'plan' || /^(agent_|tool_)/.test(String(kind));
}

function scheduleResend(prompt: Prompt, answer: string): boolean {
  if (prompt.started || prompt.resends === MAX_RESENDS || !PROMPT_NOT_STARTED.test(answer)) return false;
  prompt.resends += 1;
  const timer = setTimeout(() => {
    resend = null;
    toAgent(prompt.line);
  }, RESEND_DELAY_MS);
  resend = { timer, answer };
  return true;
}

/** Stops a resend that is due: a cancel that reached the agent before the resent prompt would have no effect. */
function cancelResend(): void {
  if (newestPrompt !== null) newestPrompt.started = true;
  if (resend === null) return;
  const { timer, answer } = resend;
  resend = null;
  clearTimeout(timer);
  fromAgent(answer);
}

/** Sends a notification of ours. */
function toServer(message: Message): void {
  chunks.add(message, JSON.stringify({ jsonrpc: '2.0', ...message }));
}

/** The backlog is written first: everything that a reader has seen is in it. */
function sendLine(line: string): void {
  linesSent += 1;
  backlog.add(line, linesSent);
  process.stdout.write(`${line}\n`);
}

/** Escapes U+2028 and U+2029: agents that use Node’s readline would split the line there. */
function toAgent(line: string): void {
  agent ??= startAgent();
  agent.stdin.write(`${line.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}\n`);
}
