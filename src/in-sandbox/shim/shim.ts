/**
 * Runs inside the sandbox, between the sandbox-agent server and the adapter of an agent: `node shim.ts -- <command> args…`. It
 * makes the session durable. Beyond a plain pipe it does the following:
 * - Requests are deduplicated by id (`Requests`). In a new process that loaded the session, a prompt that was answered gets its
 *   answer again, and one that was not gets the error `INTERRUPTED_CODE`; neither reaches the agent again.
 * - Updates that the agent repeats while it loads a session are dropped, since they were sent before.
 * - Each prompt is acknowledged by `RECEIPT_METHOD`, also when it is a repeat.
 * - A prompt that Claude Code ended without starting it is sent to it again (`Resends`).
 * - The agent’s requests get ids of ours, and only the first answer to each counts (`AgentRequests`).
 * - A ping of a worker is answered where the worker does not have the newest message (`PING_METHOD`).
 * - Chunks of text that arrive in quick succession are joined (`ChunkJoiner`).
 * - MCP servers of a session become programs that every agent can start (`withStartableServers`).
 * - Every message sent is also appended to a file, because the server’s buffer is short (`Backlog`).
 * - Whatever the agent writes, the server and the worker can read what is sent: messages that are too long, too deep or not
 *   well-formed are made to fit (`readMessage`). A line that is not JSON is dropped, and reported by `UNREADABLE_METHOD` where it
 *   begins like a message.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

import { isObject, parseObject } from '../json-rpc/json.ts';
import { HEAD_BYTES, MAX_CLIENT_LINE_BYTES, readLines } from '../json-rpc/lines.ts';
import { AgentProcess } from './agent-process.ts';
import { AgentRequests } from './agent-requests.ts';
import { Backlog } from './backlog.ts';
import { opensSession, withStartableServers } from './mcp-servers.ts';
import { readMessage, type Message } from './message.ts';
import { Output } from './output.ts';
import { NEWEST_METHOD, PING_METHOD, RECEIPT_METHOD, UNREADABLE_METHOD } from './protocol.ts';
import { Requests } from './requests.ts';
import { Resends } from './resends.ts';

const command = process.argv.slice(process.argv[2] === '--' ? 3 : 2);
if (command.length === 0) {
  process.stderr.write('usage: shim -- <command> [args…]\n');
  process.exit(2);
}

const folder = join(homedir(), '.valetkey');
const environmentFile = join(folder, 'environment.sh');
const output = new Output(new Backlog(join(folder, 'backlog.jsonl')));
const exit = (exitCode: number): void => output.flush(() => process.exit(exitCode));
const agent = new AgentProcess(command, { onLine: fromAgent, onTooLong: reportUnreadable, onEnd: exit });
const requests = new Requests(join(folder, 'prompts.jsonl'));
const resends = new Resends((line) => agent.send(line));
const questions = new AgentRequests((line) => agent.send(line));

// Without the server nobody reads the output.
process.stdout.on('error', () => agent.stop('SIGKILL'));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => agent.stop(signal));

readLines(process.stdin, MAX_CLIENT_LINE_BYTES, { onLine: fromServer, onTooLong: () => {} });
process.stdin.on('close', () => agent.closeInput());

function fromServer(line: string): void {
  const message: Message | null = parseObject(line);
  if (message === null) return;
  const { id, method, params } = message;
  if (method === PING_METHOD) return answerPing(params);
  if (id === undefined) return notifyAgent(method, line);
  if (method === undefined) return questions.answer(id, message);
  if (method === 'session/prompt') output.notify(RECEIPT_METHOD, { id });
  const answer = requests.add(id, method);
  if (answer === null) return;
  if (answer !== undefined) return output.send({ id }, answer);
  if (method === 'session/prompt') {
    resends.add(id, line);
    // It could run twice.
    if (!requests.recordPrompt(id)) return answerWithError(id, 'The prompt could not be recorded: the disk may be full.');
  }
  if (!opensSession(method, params)) return agent.send(line);
  const startable = withStartableServers(params, environmentFile);
  if (startable === null) return answerWithError(id, 'The environment of the MCP servers could not be written: the disk may be full.');
  agent.send(JSON.stringify({ ...message, params: startable }));
}

function answerPing(params: unknown): void {
  const after = isObject(params) ? params['after'] : null;
  if (typeof after === 'number' && after < output.sent) output.notify(NEWEST_METHOD);
}

function notifyAgent(method: unknown, line: string): void {
  const heldAnswer = method === 'session/cancel' ? resends.cancel() : null;
  if (heldAnswer !== null) fromAgent(heldAnswer);
  agent.send(line);
}

function fromAgent(text: string): void {
  const line = text.replace(/^\uFEFF/, '').trim();
  // Some agents log to their standard output.
  if (!line.startsWith('{')) return;
  const read = readMessage(line);
  if (read === null) return reportUnreadable(line.slice(0, HEAD_BYTES), Buffer.byteLength(line));
  const { message } = read;
  if (/^_(valetkey|adapter)\//.test(String(message.method))) return;
  if (requests.isLoading() && message.method === 'session/update') return;
  resends.observe(message);
  if (message.method === undefined) return passAnswer(message, read.line);
  const passed = read.rawId === undefined ? read.line : questions.ask(read);
  if (passed !== null) output.send(message, passed);
}

/** Sends the first answer to a request, and drops any further one and any that no request waits for. */
function passAnswer(message: Message, line: string): void {
  const { id } = message;
  if (!requests.isOpen(id) || resends.schedule(id, line)) return;
  requests.recordAnswer(id, line);
  output.send(message, line);
}

/** Reports a line that cannot be read. Where it is an answer, its request is answered by an error, since a worker waits for it. */
function reportUnreadable(head: string, bytes: number): void {
  output.notify(UNREADABLE_METHOD, { bytes });
  const id = requests.findAnswered(head);
  if (id !== undefined) answerWithError(id, 'The answer of the agent cannot be read.');
}

/** Answers a request in the agent’s place. */
function answerWithError(id: unknown, message: string): void {
  const answer = { jsonrpc: '2.0', id, error: { code: -32603, message } };
  passAnswer(answer, JSON.stringify(answer));
}
