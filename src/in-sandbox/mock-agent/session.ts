import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { INVALID_PARAMS, RpcError, type Client } from '../json-rpc/client.ts';
import { child, isObject, parseObject, text } from '../json-rpc/json.ts';
import { FOLDER } from './settings.ts';

const SESSIONS = join(FOLDER, 'sessions');

export interface ToolCall {
  id: string;
  type: 'function';
  /** `arguments`: JSON text. */
  function: { name: string; arguments: string };
}

/** A message of Chat Completions. */
export type Message = { role: 'user'; content: string } | Answer | { role: 'tool'; content: string; tool_call_id: string };

export interface Answer {
  role: 'assistant';
  content: string;
  tool_calls?: ToolCall[];
}

/** A conversation. Its messages are also in a file, from which another process loads it. */
export class Session {
  readonly id: string;
  readonly cwd: string;
  readonly messages: Message[];
  /** Cancels the current or the last prompt. */
  cancel = new AbortController();
  readonly #client: Client;

  private constructor(client: Client, id: string, cwd: string, messages: Message[]) {
    this.id = id;
    this.cwd = cwd;
    this.messages = messages;
    this.#client = client;
  }

  static create(client: Client, cwd: string): Session {
    const id = randomUUID();
    mkdirSync(SESSIONS, { recursive: true });
    appendFileSync(fileOf(id), '');
    return new Session(client, id, cwd, []);
  }

  /** @throws RpcError where there is no such session. */
  static load(client: Client, id: string, cwd: string): Session {
    if (!/^[\w-]+$/.test(id) || !existsSync(fileOf(id))) throw new RpcError(INVALID_PARAMS, 'The session does not exist.');
    const lines: unknown[] = readFileSync(fileOf(id), 'utf8').split('\n').map(parseObject);
    return new Session(client, id, cwd, lines.filter(isMessage));
  }

  append(message: Message): void {
    this.messages.push(message);
    appendFileSync(fileOf(this.id), `${JSON.stringify(message)}\n`);
  }

  /** Sends a message of the agent and appends it. */
  say(content: string): void {
    this.sendChunk('agent_message_chunk', content);
    this.append({ role: 'assistant', content });
  }

  sendChunk(sessionUpdate: 'user_message_chunk' | 'agent_message_chunk' | 'agent_thought_chunk', content: string): void {
    this.#update({ sessionUpdate, content: { type: 'text', text: content } });
  }

  sendToolCall(toolCallId: string, command: string): void {
    this.#update({ sessionUpdate: 'tool_call', toolCallId, title: command, kind: 'execute', status: 'pending', rawInput: { command } });
  }

  sendToolResult(toolCallId: string, status: 'completed' | 'failed', output: string): void {
    const content = [{ type: 'content', content: { type: 'text', text: output } }];
    this.#update({ sessionUpdate: 'tool_call_update', toolCallId, status, content });
  }

  /** Requests permission for a command. Rejects when the prompt is cancelled. */
  async isAllowed(toolCallId: string, title: string, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    const options = [
      { optionId: 'yes', name: 'Allow', kind: 'allow_once' },
      { optionId: 'no', name: 'Deny', kind: 'reject_once' },
    ];
    const toolCall = { toolCallId, title, kind: 'execute' };
    const result = await Promise.race([
      this.#client.request('session/request_permission', { sessionId: this.id, toolCall, options }),
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('The prompt was cancelled.')));
      }),
    ]);
    return child(result, 'outcome')?.['optionId'] === 'yes';
  }

  callsWithoutResult(): ToolCall[] {
    const done = new Set(this.messages.map((message) => (message.role === 'tool' ? message.tool_call_id : '')));
    const calls = this.messages.flatMap((message) => (message.role === 'assistant' ? (message.tool_calls ?? []) : []));
    return calls.filter(({ id }) => !done.has(id));
  }

  /** Sends the updates of the whole conversation again. */
  replay(): void {
    for (const message of this.messages) {
      if (message.role === 'tool') this.sendToolResult(message.tool_call_id, 'completed', message.content);
      else if (message.content !== '')
        this.sendChunk(message.role === 'user' ? 'user_message_chunk' : 'agent_message_chunk', message.content);
      if (message.role !== 'assistant') continue;
      for (const call of message.tool_calls ?? []) this.sendToolCall(call.id, commandOf(call));
    }
  }

  #update(update: object): void {
    this.#client.notify('session/update', { sessionId: this.id, update });
  }
}

/** Returns the shell command that a tool call runs. */
export function commandOf(call: ToolCall): string {
  return text(parseObject(call.function.arguments)?.['command']);
}

function isMessage(value: unknown): value is Message {
  return isObject(value) && text(value['role']) !== '';
}

function fileOf(id: string): string {
  return join(SESSIONS, `${id}.jsonl`);
}
