/**
 * The agent `mock`: ACP on stdin and stdout, one JSON-RPC message per line. It calls the LLM (Chat Completions) with the key that is in its file at that moment, runs the commands that
 * the model requests, and stores each conversation in a file, so that another process can load it.
 *
 * Lines of a prompt that begin with `!` are commands. A prompt with such lines runs them and does not call the LLM:
 * - `!say TEXT`, `!think TEXT`
 * - `!chunks N MS`: N chunks, one every MS ms; `!flood N`: N chunks at once
 * - `!recall`: says the earlier prompts; `!env`: says its environment
 * - `!run COMMAND`, `!write PATH TEXT`
 * - `!ask TITLE`: requests permission whatever the policy, and says the answer
 * - `!crash`: the process kills itself; `!hang`: waits until it is cancelled
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

interface ToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

/** A message of Chat Completions. */
type Message =
  | { role: 'user'; content: string }
  | { role: 'assistant'; content: string; tool_calls?: ToolCall[] }
  | { role: 'tool'; content: string; tool_call_id: string };

interface Session {
  id: string;
  cwd: string;
  messages: Message[];
  /** Cancels the current or the last prompt. */
  cancel: AbortController;
}

class RpcError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The answer was cut off after its first byte. Before it, the gateway retries. */
class IncompleteAnswerError extends RpcError {
  constructor() {
    super(-32603, 'The answer of the LLM is incomplete.');
  }
}

/** Retries of one answer. */
const MAX_RETRIES = 2;
const FOLDER = join(homedir(), '.mock');
const DAY_MS = 86_400_000;
const MAX_OUTPUT_CHARS = 64 * 1024;
/** Any other line that begins with `!` is ordinary text. */
const COMMAND_LINE = /^!(say|think|chunks|flood|recall|run|write|env|ask|crash|hang)( |$)/;
const BASH = {
  type: 'function',
  function: {
    name: 'bash',
    description: 'Runs a shell command in the workspace.',
    parameters: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] },
  },
};

const sessions = new Map<unknown, Session>();
/** Permission requests that the client has not answered yet. */
const questions = new Map<unknown, (result: unknown) => void>();
let questionsAsked = 0;

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', (line) => void receive(parse(line)))
  .on('close', () => process.exit());

async function receive(message: unknown): Promise<void> {
  const id = at(message, 'id');
  const method = at(message, 'method');
  if (method === undefined) return questions.get(id)?.(at(message, 'result'));
  const answer = await handle(method, at(message, 'params')).catch((error: unknown) => ({
    error: {
      code: error instanceof RpcError ? error.code : -32603,
      message: error instanceof Error ? error.message : 'The mock agent failed.',
    },
  }));
  if (id !== undefined) send({ id, ...answer });
}

async function handle(method: unknown, params: unknown): Promise<{ result: object }> {
  switch (method) {
    case 'initialize':
      return { result: { protocolVersion: 1, agentCapabilities: { loadSession: true }, authMethods: [] } };
    case 'session/new':
      return { result: { sessionId: createSession(text(at(params, 'cwd'))).id } };
    case 'session/load':
      replay(loadSession(text(at(params, 'sessionId')), text(at(params, 'cwd'))));
      return { result: {} };
    case '_session/rename':
      return { result: {} };
    case 'session/prompt':
      return { result: { stopReason: await runPrompt(sessionOf(params), list(at(params, 'prompt'))) } };
    case 'session/cancel':
      sessionOf(params).cancel.abort();
      return { result: {} };
    default:
      throw new RpcError(-32601, 'The method does not exist.');
  }
}

function createSession(cwd: string): Session {
  const session: Session = { id: randomUUID(), cwd, messages: [], cancel: new AbortController() };
  mkdirSync(FOLDER, { recursive: true });
  appendFileSync(fileOf(session.id), '');
  sessions.set(session.id, session);
  return session;
}

function loadSession(id: string, cwd: string): Session {
  if (!/^[\w-]+$/.test(id) || !existsSync(fileOf(id))) throw new RpcError(-32602, 'The session does not exist.');
  const lines = readFileSync(fileOf(id), 'utf8').trimEnd().split('\n');
  const session: Session = { id, cwd, messages: lines.map(parse).filter(isMessage), cancel: new AbortController() };
  sessions.set(id, session);
  return session;
}

function sessionOf(params: unknown): Session {
  const session = sessions.get(at(params, 'sessionId'));
  if (session === undefined) throw new RpcError(-32602, 'The session does not exist.');
  return session;
}

function isMessage(value: unknown): value is Message {
  return text(at(value, 'role')) !== '';
}

function callsWithoutResult({ messages }: Session): ToolCall[] {
  const done = new Set(messages.map((message) => (message.role === 'tool' ? message.tool_call_id : '')));
  return messages.flatMap((message) => (message.role === 'assistant' ? (message.tool_calls ?? []) : [])).filter(({ id }) => !done.has(id));
}

function replay({ id, messages }: Session): void {
  for (const message of messages) {
    if (message.role === 'tool') update(id, toolResult(message.tool_call_id, 'completed', message.content));
    else if (message.content !== '')
      update(id, chunk(message.role === 'user' ? 'user_message_chunk' : 'agent_message_chunk', message.content));
    if (message.role !== 'assistant') continue;
    for (const { id: callId, function: call } of message.tool_calls ?? []) update(id, toolCall(callId, commandOf(call.arguments)));
  }
}

/** Resolves to the stop reason of ACP. */
async function runPrompt(session: Session, parts: unknown[]): Promise<string> {
  const prompt = parts.map((part) => text(at(part, 'text'))).join('\n');
  session.cancel = new AbortController();
  const { signal } = session.cancel;
  // Models refuse tool calls without results, which a cancel or the end of a process leaves behind.
  for (const { id } of callsWithoutResult(session)) appendMessage(session, { role: 'tool', content: 'interrupted', tool_call_id: id });
  appendMessage(session, { role: 'user', content: prompt });
  const lines = prompt.split('\n').filter((line) => COMMAND_LINE.test(line));
  try {
    if (lines.length === 0) await runModelLoop(session, signal);
    for (const line of lines) await runCommandLine(session, line, signal);
    return 'end_turn';
  } catch (error) {
    if (signal.aborted) return 'cancelled';
    throw error;
  }
}

async function runCommandLine(session: Session, line: string, signal: AbortSignal): Promise<void> {
  const [, verb, rest = ''] = /^!(\w+) ?(.*)$/.exec(line) ?? [];
  const [first = '', ...others] = rest.split(' ');
  switch (verb) {
    case 'say':
      return say(session, rest);
    case 'think':
      return update(session.id, chunk('agent_thought_chunk', rest));
    case 'chunks':
    case 'flood':
      for (let n = 1; n <= Number(first); n += 1) {
        if (verb === 'chunks') await sleep(Number(others[0] ?? 0), undefined, { signal });
        say(session, `chunk ${n}\n`);
      }
      return;
    case 'recall':
      return say(
        session,
        session.messages
          .slice(0, -1)
          .map(({ role, content }) => (role === 'user' ? `${content}\n` : ''))
          .join(''),
      );
    case 'env':
      return say(session, (await runShell('env', session.cwd, signal)).output);
    case 'ask':
      return say(session, (await isAllowed(session, randomUUID(), rest, signal)) ? 'allowed' : 'denied');
    case 'run':
      return void (await runTool(session, randomUUID(), rest, signal));
    case 'write':
      return void (await runTool(session, randomUUID(), `printf %s ${shellQuote(others.join(' '))} > ${shellQuote(first)}`, signal));
    case 'crash':
      return void process.kill(process.pid, 'SIGKILL');
    case 'hang':
      return await sleep(DAY_MS, undefined, { signal });
    default:
      return;
  }
}

/** Calls the LLM and runs the tools that it requests, until it requests none. */
async function runModelLoop(session: Session, signal: AbortSignal): Promise<void> {
  for (;;) {
    const answer = await requestAnswer(session, signal);
    appendMessage(session, answer);
    for (const { id, function: call } of answer.tool_calls ?? []) {
      const content = await runTool(session, id, commandOf(call.arguments), signal);
      appendMessage(session, { role: 'tool', content, tool_call_id: id });
    }
    if (answer.tool_calls === undefined) return;
  }
}

type Answer = Extract<Message, { role: 'assistant' }>;

/** Requests an answer again where it was cut off. */
async function requestAnswer(session: Session, signal: AbortSignal): Promise<Answer> {
  for (let retries = 0; ; retries += 1) {
    try {
      return await readAnswer(session, signal);
    } catch (error) {
      if (!(error instanceof IncompleteAnswerError) || retries === MAX_RETRIES || signal.aborted) throw error;
    }
  }
}

async function readAnswer({ id, messages }: Session, signal: AbortSignal): Promise<Answer> {
  const response = await post(messages, signal);
  let content = '';
  const calls: ToolCall[] = [];
  let isComplete = false;
  for await (const line of linesOf(response)) {
    if (!line.startsWith('data: {')) continue;
    const event = parse(line.slice('data: '.length));
    if (at(event, 'error') !== undefined) throw new IncompleteAnswerError();
    const choice = list(at(event, 'choices'))[0];
    isComplete ||= text(at(choice, 'finish_reason')) !== '';
    const delta = at(choice, 'delta');
    const piece = text(at(delta, 'content'));
    if (piece !== '') update(id, chunk('agent_message_chunk', piece));
    content += piece;
    for (const part of list(at(delta, 'tool_calls'))) {
      const call = (calls[Number(at(part, 'index'))] ??= { id: '', type: 'function', function: { name: '', arguments: '' } });
      call.id += text(at(part, 'id'));
      call.function.name += text(at(at(part, 'function'), 'name'));
      call.function.arguments += text(at(at(part, 'function'), 'arguments'));
    }
  }
  if (!response.complete || !isComplete) throw new IncompleteAnswerError();
  return { role: 'assistant', content, ...(calls.length > 0 && { tool_calls: calls }) };
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: response, crlfDelay: Infinity });
  } catch {
    throw new IncompleteAnswerError();
  }
}

/** Sends the request. Where the key is refused, the file is read again, since the key may have been rotated in between. */
async function post(messages: Message[], signal: AbortSignal): Promise<IncomingMessage> {
  // Imported on use, because it takes 10 MB: sessions that only wait do without.
  const { request } = await import('node:http');
  const { baseUrl, keyFile, model } = settings();
  const body = JSON.stringify({ model, messages, tools: [BASH], stream: true, stream_options: { include_usage: true } });
  const ask = async (key: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      request(`${baseUrl}/chat/completions`, { method: 'POST', headers, signal }, resolve).on('error', reject).end(body);
    });
  const key = readFileSync(keyFile, 'utf8');
  let response = await ask(key);
  const next = readFileSync(keyFile, 'utf8');
  if (response.statusCode === 401 && next !== key) response = await ask(next);
  if (response.statusCode === 200) return response;
  // The body is read to its end, as agents do that report the error.
  await once(response.resume(), 'end');
  throw new RpcError(response.statusCode === 401 ? -32000 : -32603, `The LLM call failed with HTTP status ${response.statusCode}.`);
}

/** Runs a command as a tool call. Resolves to the text that the model receives. */
async function runTool(session: Session, toolCallId: string, command: string, signal: AbortSignal): Promise<string> {
  update(session.id, toolCall(toolCallId, command));
  const allowed = !settings().asks || (await isAllowed(session, toolCallId, command, signal));
  const { ok, output } = allowed ? await runShell(command, session.cwd, signal) : { ok: false, output: 'The user denied it.' };
  update(session.id, toolResult(toolCallId, ok ? 'completed' : 'failed', output));
  return output;
}

async function runShell(command: string, cwd: string, signal: AbortSignal): Promise<{ ok: boolean; output: string }> {
  signal.throwIfAborted();
  const child = spawn('bash', ['-c', command], { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = (): void => void (child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'));
  signal.addEventListener('abort', kill);
  let printed = '';
  let missing = 0;
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (data: string) => {
      const whole = printed + data;
      printed = whole.slice(-MAX_OUTPUT_CHARS);
      missing += whole.length - printed.length;
    });
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  signal.removeEventListener('abort', kill);
  signal.throwIfAborted();
  const output = missing === 0 ? printed : `[… ${missing} characters cut …]\n${printed}`;
  return { ok: code === 0, output: code === 0 ? output : `${output}\n(exit code ${String(code)})` };
}

async function isAllowed({ id: sessionId }: Session, toolCallId: string, title: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const id = (questionsAsked += 1);
  const result = await new Promise((resolve, reject) => {
    questions.set(id, resolve);
    signal.addEventListener('abort', () => reject(new Error('The prompt was cancelled.')));
    const options = [
      { optionId: 'yes', name: 'Allow', kind: 'allow_once' },
      { optionId: 'no', name: 'Deny', kind: 'reject_once' },
    ];
    send({ id, method: 'session/request_permission', params: { sessionId, toolCall: { toolCallId, title, kind: 'execute' }, options } });
  });
  questions.delete(id);
  return at(at(result, 'outcome'), 'optionId') === 'yes';
}

function say(session: Session, content: string): void {
  update(session.id, chunk('agent_message_chunk', content));
  appendMessage(session, { role: 'assistant', content });
}

function chunk(sessionUpdate: string, words: string): object {
  return { sessionUpdate, content: { type: 'text', text: words } };
}

function toolCall(toolCallId: string, command: string): object {
  return { sessionUpdate: 'tool_call', toolCallId, title: command, kind: 'execute', status: 'pending', rawInput: { command } };
}

function toolResult(toolCallId: string, status: string, output: string): object {
  return { sessionUpdate: 'tool_call_update', toolCallId, status, content: [{ type: 'content', content: { type: 'text', text: output } }] };
}

function update(sessionId: string, change: object): void {
  send({ method: 'session/update', params: { sessionId, update: change } });
}

function send(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
}

function appendMessage({ id, messages }: Session, message: Message): void {
  messages.push(message);
  appendFileSync(fileOf(id), `${JSON.stringify(message)}\n`);
}

function fileOf(id: string): string {
  return join(FOLDER, `${id}.jsonl`);
}

/** Reads the settings each time: they may be written after the process has started. */
function settings(): { baseUrl: string; keyFile: string; model: string; asks: boolean } {
  const file = parse(readFileSync(join(FOLDER, 'settings.json'), 'utf8'));
  const word = (key: string): string => text(at(file, key));
  return { baseUrl: word('baseUrl'), keyFile: word('keyFile'), model: word('model'), asks: at(file, 'asks') === true };
}

function commandOf(input: string): string {
  return text(at(parse(input), 'command'));
}

function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function parse(json: string): unknown {
  return json === '' ? null : JSON.parse(json);
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)).get(key) : undefined;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
