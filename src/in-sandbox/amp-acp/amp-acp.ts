/**
 * Presents Amp’s command line as an ACP agent on stdin and stdout, one JSON-RPC message per line: `node amp-acp.ts <amp>`. Each prompt is one run of Amp: the first of a session starts a thread
 * and the others continue it. The token is read from its file each time and is in the environment of that run only. The updates of
 * a session are stored in a file, from which another process replays them.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

type Json = Record<string, unknown>;

interface Session {
  id: string;
  cwd: string;
  /** The id of Amp’s thread; null before the first prompt. */
  thread: string | null;
  /** The process of the current prompt. */
  run: ChildProcess | null;
  cancelled: boolean;
}

/** The error with which a request is answered. */
class RpcError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const KILL_DELAY_MS = 1000;
const MAX_TITLE_CHARS = 200;
const METHOD_NOT_FOUND = -32601;
const INVALID_PARAMS = -32602;
const INTERNAL_ERROR = -32603;

const folder = join(homedir(), '.amp-acp');
const [amp = 'amp'] = process.argv.slice(2);
const sessions = new Map<string, Session>();

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', (line) => void onMessage(parse(line)))
  .on('close', () => {
    for (const { run } of sessions.values()) run?.kill('SIGKILL');
    process.exit();
  });

async function onMessage({ id, method, params }: Json): Promise<void> {
  if (typeof method !== 'string') return;
  const answer = await handle(method, isObject(params) ? params : {}).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: { code: error instanceof RpcError ? error.code : INTERNAL_ERROR, message: messageOf(error) } }),
  );
  if (id !== undefined) send({ id, ...answer });
}

async function handle(method: string, params: Json): Promise<Json> {
  switch (method) {
    case 'initialize':
      return { protocolVersion: 1, agentCapabilities: { loadSession: true }, authMethods: [] };
    case 'session/new':
      return { sessionId: newSession(text(params['cwd'])).id };
    case 'session/load':
      loadSession(text(params['sessionId']), text(params['cwd']));
      return {};
    case 'session/prompt':
      return await prompt(sessionOf(params), list(params['prompt']));
    case 'session/cancel':
      cancel(sessionOf(params));
      return {};
    default:
      throw new RpcError(METHOD_NOT_FOUND, 'The method does not exist.');
  }
}

function newSession(cwd: string): Session {
  const session: Session = { id: randomUUID(), cwd, thread: null, run: null, cancelled: false };
  sessions.set(session.id, session);
  appendEntry(session, {});
  return session;
}

function loadSession(id: string, cwd: string): void {
  const session: Session = { id, cwd, thread: null, run: null, cancelled: false };
  for (const { thread, update } of readEntries(id)) {
    if (typeof thread === 'string') session.thread = thread;
    if (isObject(update)) sendUpdate(session, update);
  }
  sessions.set(id, session);
}

async function prompt(session: Session, blocks: Json[]): Promise<Json> {
  if (session.run !== null) throw new RpcError(INVALID_PARAMS, 'A prompt is already running in this session.');
  const content = blocks.filter(({ type }) => type === 'text').map((block) => ({ type: 'text', text: text(block['text']) }));
  const { keyFile, mode } = parse(readFileSync(join(folder, 'settings.json'), 'utf8'));
  for (const block of content) appendEntry(session, { update: { sessionUpdate: 'user_message_chunk', content: block } });

  session.cancelled = false;
  const threadArgs = session.thread === null ? ['--no-archive-after-execute'] : ['threads', 'continue', session.thread];
  const command = [amp, ...threadArgs, '--execute', '--stream-json-thinking', '--stream-json-input', '--mode', text(mode)];
  const run = spawn('/bin/sh', ['-c', 'AMP_API_KEY=$(cat "$0") exec "$@"', text(keyFile), ...command], {
    cwd: session.cwd,
    // Standard error may hold anything, so it is dropped.
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  session.run = run;
  run.stdin.on('error', () => {});
  run.stdin.end(`${JSON.stringify({ type: 'user', message: { role: 'user', content } })}\n`);
  let result: Json | null = null;
  createInterface({ input: run.stdout, crlfDelay: Infinity }).on('line', (line) => {
    const message = parse(line);
    if (message['type'] === 'result') result = message;
    onOutput(session, message);
  });
  const ended = await new Promise<string>((resolve) => {
    run.once('error', () => resolve('could not be started and ended'));
    run.once('close', (code, signal) => resolve(`ended with ${signal ?? `exit code ${code}`}`));
  });
  session.run = null;
  if (session.cancelled) return { stopReason: 'cancelled' };
  return { stopReason: stopReasonOf(result, ended) };
}

function stopReasonOf(result: Json | null, ended: string): string {
  if (result === null) throw new RpcError(INTERNAL_ERROR, `Amp ${ended} without a result.`);
  if (result['subtype'] === 'error_max_turns') return 'max_turn_requests';
  // The error text comes from the service, so it is not passed on.
  if (result['is_error'] !== false) throw new RpcError(INTERNAL_ERROR, 'Amp ended the turn with an error.');
  return 'end_turn';
}

/** Stops the current run. The prompt is answered when the run has ended. */
function cancel(session: Session): void {
  const { run } = session;
  if (run === null) return;
  session.cancelled = true;
  run.kill('SIGTERM');
  setTimeout(() => run.kill('SIGKILL'), KILL_DELAY_MS).unref();
}

/** Handles one line of Amp’s output, in the format of Claude Code’s stream-json. */
function onOutput(session: Session, { type, session_id: thread, message, parent_tool_use_id: parent }: Json): void {
  if (typeof thread === 'string' && thread !== session.thread) {
    session.thread = thread;
    appendEntry(session, { thread });
  }
  if (!isObject(message)) return;
  for (const block of list(message['content'])) {
    const update =
      type === 'assistant' ? assistantUpdate(block, typeof parent === 'string') : type === 'user' ? toolResultUpdate(block) : null;
    if (update === null) continue;
    appendEntry(session, { update });
    sendUpdate(session, update);
  }
}

/** Converts a block of an assistant message. The text of a subagent is not part of the answer; its tool calls are reported. */
function assistantUpdate(block: Json, isSubagent: boolean): Json | null {
  switch (block['type']) {
    case 'text':
      return isSubagent ? null : { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: text(block['text']) } };
    case 'thinking':
      return isSubagent ? null : { sessionUpdate: 'agent_thought_chunk', content: { type: 'text', text: text(block['thinking']) } };
    case 'tool_use':
      return {
        sessionUpdate: 'tool_call',
        toolCallId: text(block['id']),
        title: titleOf(text(block['name']), block['input']),
        kind: TOOL_KINDS[text(block['name'])] ?? 'other',
        status: 'in_progress',
        rawInput: block['input'],
      };
    default:
      return null;
  }
}

const TOOL_KINDS: Record<string, string> = {
  Bash: 'execute',
  Read: 'read',
  Grep: 'search',
  glob: 'search',
  finder: 'search',
  edit_file: 'edit',
  create_file: 'edit',
  undo_edit: 'edit',
  read_web_page: 'fetch',
  web_search: 'fetch',
};

function titleOf(name: string, input: unknown): string {
  const { cmd, command, path } = isObject(input) ? input : {};
  const object = [cmd, command, path].find((value) => typeof value === 'string');
  return (object === undefined ? name : `${name}: ${object}`).slice(0, MAX_TITLE_CHARS);
}

function toolResultUpdate(block: Json): Json | null {
  if (block['type'] !== 'tool_result') return null;
  return {
    sessionUpdate: 'tool_call_update',
    toolCallId: text(block['tool_use_id']),
    status: block['is_error'] === true ? 'failed' : 'completed',
    content: [{ type: 'content', content: { type: 'text', text: text(block['content']) } }],
  };
}

function sendUpdate({ id }: Session, update: Json): void {
  send({ method: 'session/update', params: { sessionId: id, update } });
}

function send(message: Json): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
}

function appendEntry({ id }: Session, entry: Json): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  appendFileSync(fileOf(id), `${JSON.stringify(entry)}\n`, { mode: 0o600 });
}

function readEntries(id: string): Json[] {
  try {
    return readFileSync(fileOf(id), 'utf8').split('\n').filter(Boolean).map(parse);
  } catch {
    throw new RpcError(INVALID_PARAMS, 'The session does not exist.');
  }
}

function fileOf(id: string): string {
  if (!/^[\w-]+$/.test(id)) throw new RpcError(INVALID_PARAMS, 'The session does not exist.');
  return join(folder, `${id}.jsonl`);
}

function sessionOf(params: Json): Session {
  const session = sessions.get(text(params['sessionId']));
  if (session === undefined) throw new RpcError(INVALID_PARAMS, 'The session does not exist.');
  return session;
}

/** Parses a line; an empty object where it is not a JSON object. */
function parse(line: string): Json {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The message of an error; of a system error only its code is passed on. */
function messageOf(error: unknown): string {
  if (error instanceof RpcError) return error.message;
  return error instanceof Error && 'code' in error ? `Amp’s adapter failed: ${String(error.code)}.` : 'Amp’s adapter failed.';
}
