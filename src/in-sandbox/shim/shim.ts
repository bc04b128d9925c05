/**
 * Runs inside the sandbox, between the sandbox-agent server and the adapter of an agent: `node shim.ts -- <command> args…`.
 * It makes the session durable, and imports nothing but Node and its own folder, because that is mounted alone. What it adds to a plain
 * pipe:
 * - A request whose id it has seen does not reach the agent again: any worker may post the same request once more. One that
 *   was answered gets the same answer again. Its memory is as old as the agent's process, and so is the conversation.
 * - Prompts and their answers are remembered past that, in a file: in a new process that loaded the session, one that was
 *   answered before gets its answer, one that was not gets the error `INTERRUPTED`; neither reaches the agent again.
 * - What the agent repeats while it loads a session goes nowhere: it was told before.
 * - Each prompt is acknowledged by the notification `_valetkey/received {id}`, also when it is a repeat.
 * - A prompt that Claude Code ends without having begun it is sent to it again.
 * - The agent's requests have ids of ours, and the first answer to each counts.
 * - `_valetkey/ping {after}` ends here: that it could be written says that the agent's process lives. Where `after`, the number of the
 *   newest message that the sender has, is not the newest, `_valetkey/newest` follows: the sender then sees a gap.
 * - The agent is started by the first message for it, so this process can be there before the agent's files.
 * - Chunks of text that come fast are joined here.
 * - What was passed on is in a file, too, line by line: the server forgets it earlier.
 * - Whatever the agent writes, the server and the worker can read what is passed on: what is too long, too deep or not well-formed is made
 *   to fit, what is no JSON at all is passed over, and reported by `_valetkey/unreadable {bytes}` where it begins like a message.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

import { JoinedChunks } from './joined-chunks.ts';
import { readJournal, remember } from './journal.ts';
import { KeptLines } from './kept-lines.ts';
import { readLines } from './lines.ts';
import { child, parse, readMessage, type Message } from './message.ts';
import { Questions } from './questions.ts';

/** Of the agent's; a tool's output is in one. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
/** A prompt has at most 256 KiB. */
const MAX_SERVER_LINE_BYTES = 16 * 1024 * 1024;

/** The agent's children may hold its output open after its end. */
const LAST_WORDS_MS = 1000;
/** An agent that has closed its output can answer nothing. */
const CLOSED_MS = 5000;

/**
 * How Claude Code 2.1 ends a prompt that comes just after a turn which failed or was cancelled: no model was asked
 * (claude-agent-acp 0.101.0 knows it as the empty user interruption, and lets those pass whose turn it did not cancel).
 */
const NOT_BEGUN = /\[ede_diagnostic\] result_type=user last_content_type=n\/a stop_reason=null/;
const AGAIN_MS = 200;
const MAX_AGAIN = 3;

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
const kept = new KeptLines(join(folder, 'said.jsonl'));
/** Lines that were passed on: the server counts them, too. */
let passedOn = 0;
/** Null before the first message for it. */
let agent: ChildProcessByStdio<Writable, Readable, null> | null = null;
/** Request id → the agent's answer as it came, null before. */
const requests = readJournal(journal);
const prompts = new Map<unknown, Prompt>();
let newest: Prompt | null = null;
/** The answer that is kept back while a prompt waits to be sent again. */
let again: { sending: NodeJS.Timeout; answer: string } | null = null;
let loading: unknown = null;
const questions = new Questions(toAgent);
const chunks = new JoinedChunks(passOn);

// The server is gone: so is the one who could read.
process.stdout.on('error', () => stop('SIGKILL'));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);

readLines(process.stdin, MAX_SERVER_LINE_BYTES, { onLine: fromServer, onTooLong: () => {} });
process.stdin.on('close', () => agent?.stdin.end());

/** Its standard error goes nowhere: the server keeps it, ends it at the first byte that is no UTF-8, and nobody reads it. */
function startAgent(): ChildProcessByStdio<Writable, Readable, null> {
  const started = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  started.on('error', () => process.exit(127));
  started.on('close', end);
  started.on('exit', (code, signal) => void setTimeout(end, LAST_WORDS_MS, code, signal));
  // A write that fails means that the agent is gone: 'close' follows.
  started.stdin.on('error', () => {});
  started.stdout.on('end', () => void setTimeout(() => started.kill('SIGKILL'), CLOSED_MS));
  readLines(started.stdout, MAX_LINE_BYTES, { onLine: fromAgent, onTooLong: unreadable });
  return started;
}

/** Ends as the agent did. */
function end(code: number | null, signal: NodeJS.Signals | null): void {
  chunks.flush();
  // Its last words go out first.
  process.stdout.write('', () => process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
}

function stop(signal: NodeJS.Signals): void {
  if (agent === null) process.exit(128 + constants.signals[signal]);
  agent.kill(signal);
}

function fromServer(line: string): void {
  const message = parse(line);
  if (message === null) return;
  const { id, method } = message;
  if (method === '_valetkey/ping') return ping(message);
  if (id === undefined) {
    if (method === 'session/cancel') leaveIt();
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
    newest = { line, begun: false, sentAgain: 0 };
    prompts.set(id, newest);
    if (!remember(journal, { id })) return cannotRemember(id);
  }
  toAgent(line);
}

/** A prompt that nobody would know to have run could run twice. */
function cannotRemember(id: unknown): void {
  const message = { jsonrpc: '2.0', id, error: { code: -32603, message: 'The disk is full' } };
  answered(message, JSON.stringify(message));
}

function ping({ params }: Message): void {
  const after = typeof params === 'object' && params !== null && 'after' in params ? params.after : null;
  if (typeof after === 'number' && after < passedOn) toServer({ method: '_valetkey/newest' });
}

function fromAgent(text: string): void {
  const line = text.replace(/^\uFEFF/, '').trim();
  // Some log to their standard output.
  if (!line.startsWith('{')) return;
  const read = readMessage(line);
  if (read === null) return unreadable(line.slice(0, 4096), Buffer.byteLength(line));
  const { message } = read;
  if (/^_(valetkey|adapter)\//.test(String(message.method))) return;
  if (loading !== null && message.method === 'session/update') return;
  if (newest !== null && begins(message)) newest.begun = true;
  if (message.method === undefined) return answered(message, read.line);
  const passed = read.rawId === undefined ? read.line : questions.ask(read);
  if (passed !== null) chunks.add(message, passed);
}

/** The first answer to a request counts, and one that nobody waits for does not. */
function answered(message: Message, line: string): void {
  const { id } = message;
  if (requests.get(id) !== null) return;
  const prompt = prompts.get(id);
  if (prompt !== undefined && sendsAgain(prompt, line)) return;
  requests.set(id, line);
  if (id === loading) loading = null;
  if (prompt !== undefined) remember(journal, { id, answer: line });
  chunks.add(message, line);
}

/** An answer is answered by an error: somebody waits for it. */
function unreadable(head: string, bytes: number): void {
  toServer({ method: '_valetkey/unreadable', params: { bytes } });
  if (head.includes('"method"')) return;
  const open = [...requests].flatMap(([id, answer]) => (answer === null ? [id] : []));
  const id = open.find((one) => head.replaceAll(/\s/g, '').includes(`"id":${JSON.stringify(one)}`));
  if (id === undefined) return;
  const message = { jsonrpc: '2.0', id, error: { code: -32603, message: 'The answer cannot be read' } };
  answered(message, JSON.stringify(message));
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

/** A notification of ours. */
function toServer(message: Message): void {
  chunks.add(message, JSON.stringify({ jsonrpc: '2.0', ...message }));
}

/** Kept first: what another has seen is there. */
function passOn(line: string): void {
  passedOn += 1;
  kept.add(line, passedOn);
  process.stdout.write(`${line}\n`);
}

/** Node's readline, which agents read with, ends a line at these two as well. */
function toAgent(line: string): void {
  agent ??= startAgent();
  agent.stdin.write(`${line.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}\n`);
}
