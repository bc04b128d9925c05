/**
 * Amp's command line as an ACP agent on stdin and stdout, one JSON-RPC message a line: `node amp-acp.ts <amp>`. Runs alone
 * inside the sandbox, so it imports nothing but Node. Each prompt is one run of Amp, the first of a session begins a thread
 * and the others continue it; the token is read from its file each time and is in the environment of that run only.
 * What a session has told is kept in a file, from which another process tells it again.
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
  /** Amp's own name for it; null before its first prompt. */
  thread: string | null;
  /** The run of the prompt that is being answered. */
  run: ChildProcess | null;
  cancelled: boolean;
}

/** How a request fails. */
class RpcError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const KILL_AFTER_MS = 1000;
const MAX_TITLE_CHARS = 200;
const NOT_FOUND = -32601;
const INVALID = -32602;
const FAILED = -32603;

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
    (error: unknown) => ({ error: { code: error instanceof RpcError ? error.code : FAILED, message: messageOf(error) } }),
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
      throw new RpcError(NOT_FOUND, 'Method not found');
  }
}

function newSession(cwd: string): Session {
  const session: Session = { id: randomUUID(), cwd, thread: null, run: null, cancelled: false };
  sessions.set(session.id, session);
  keep(session, {});
  return session;
}

function loadSession(id: string, cwd: string): void {
  const session: Session = { id, cwd, thread: null, run: null, cancelled: false };
  for (const { thread, update } of readBacklog(id)) {
    if (typeof thread === 'string') session.thread = thread;
    if (isObject(update)) tell(session, update);
  }
  sessions.set(id, session);
}

async function prompt(session: Session, blocks: Json[]): Promise<Json> {
  if (session.run !== null) throw new RpcError(INVALID, 'A prompt is running.');
  const content = blocks.filter(({ type }) => type === 'text').map((block) => ({ type: 'text', text: text(block['text']) }));
  const { keyFile, mode } = parse(readFileSync(join(folder, 'settings.json'), 'utf8'));
  for (const block of content) keep(session, { update: { sessionUpdate: 'user_message_chunk', content: block } });

  session.cancelled = false;
  const which = session.thread === null ? ['--no-archive-after-execute'] : ['threads', 'continue', session.thread];
  const words = [amp, ...which, '--execute', '--stream-json-thinking', '--stream-json-input', '--mode', text(mode)];
  const run = spawn('/bin/sh', ['-c', 'AMP_API_KEY=$(cat "$0") exec "$@"', text(keyFile), ...words], {
    cwd: session.cwd,
    // What it says on the third may hold anything.
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
    run.once('error', () => resolve('could not be run'));
    run.once('close', (code, signal) => resolve(`ended with ${signal ?? `exit code ${code}`}`));
  });
  session.run = null;
  if (session.cancelled) return { stopReason: 'cancelled' };
  return { stopReason: stopReasonOf(result, ended) };
}

function stopReasonOf(result: Json | null, ended: string): string {
  if (result === null) throw new RpcError(FAILED, `Amp ${ended} and without a result.`);
  if (result['subtype'] === 'error_max_turns') return 'max_turn_requests';
  // Its error text is the service's.
  if (result['is_error'] !== false) throw new RpcError(FAILED, 'Amp ended the turn with an error.');
  return 'end_turn';
}

/** The answer of the prompt comes when the run has ended. */
function cancel(session: Session): void {
  const { run } = session;
  if (run === null) return;
  session.cancelled = true;
  run.kill('SIGTERM');
  setTimeout(() => run.kill('SIGKILL'), KILL_AFTER_MS).unref();
}

/** One line of Amp's, in the format of Claude Code's stream-json. */
function onOutput(session: Session, { type, session_id: thread, message, parent_tool_use_id: parent }: Json): void {
  if (typeof thread === 'string' && thread !== session.thread) {
    session.thread = thread;
    keep(session, { thread });
  }
  if (!isObject(message)) return;
  for (const block of list(message['content'])) {
    const update = type === 'assistant' ? ofAssistant(block, typeof parent === 'string') : type === 'user' ? ofToolResult(block) : null;
    if (update === null) continue;
    keep(session, { update });
    tell(session, update);
  }
}

/** What a subagent says is no part of the answer; what it does is told. */
function ofAssistant(block: Json, isSubagent: boolean): Json | null {
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
        kind: KINDS[text(block['name'])] ?? 'other',
        status: 'in_progress',
        rawInput: block['input'],
      };
    default:
      return null;
  }
}

const KINDS: Record<string, string> = {
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

function ofToolResult(block: Json): Json | null {
  if (block['type'] !== 'tool_result') return null;
  return {
    sessionUpdate: 'tool_call_update',
    toolCallId: text(block['tool_use_id']),
    status: block['is_error'] === true ? 'failed' : 'completed',
    content: [{ type: 'content', content: { type: 'text', text: text(block['content']) } }],
  };
}

function tell({ id }: Session, update: Json): void {
  send({ method: 'session/update', params: { sessionId: id, update } });
}

function send(message: Json): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
}

function keep({ id }: Session, entry: Json): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  appendFileSync(fileOf(id), `${JSON.stringify(entry)}\n`, { mode: 0o600 });
}

function readBacklog(id: string): Json[] {
  try {
    return readFileSync(fileOf(id), 'utf8').split('\n').filter(Boolean).map(parse);
  } catch {
    throw new RpcError(INVALID, 'There is no such session.');
  }
}

function fileOf(id: string): string {
  if (!/^[\w-]+$/.test(id)) throw new RpcError(INVALID, 'There is no such session.');
  return join(folder, `${id}.jsonl`);
}

function sessionOf(params: Json): Session {
  const session = sessions.get(text(params['sessionId']));
  if (session === undefined) throw new RpcError(INVALID, 'There is no such session.');
  return session;
}

/** A line that is no JSON object says nothing. */
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

/** A file that cannot be read is told by its code. */
function messageOf(error: unknown): string {
  if (error instanceof RpcError) return error.message;
  return error instanceof Error && 'code' in error ? `Amp’s adapter failed: ${String(error.code)}.` : 'Amp’s adapter failed.';
}
