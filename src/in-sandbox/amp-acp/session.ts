import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';

import { INTERNAL_ERROR, INVALID_PARAMS, RpcError, type Client } from '../json-rpc/client.ts';
import { isObject, text, type Json } from '../json-rpc/json.ts';
import { appendEntry, readEntries } from './entries.ts';
import { endOf, startAmp } from './start-amp.ts';
import { updatesOf } from './updates.ts';

const KILL_DELAY_MS = 1000;

/** A session of ACP: a thread of Amp. */
export class Session {
  readonly id: string;
  readonly #client: Client;
  readonly #cwd: string;
  /** The id of Amp’s thread; null before the first prompt. */
  #thread: string | null = null;
  /** The process of the current prompt. */
  #run: ChildProcess | null = null;
  #cancelled = false;

  private constructor(client: Client, id: string, cwd: string) {
    this.#client = client;
    this.id = id;
    this.#cwd = cwd;
  }

  static create(client: Client, cwd: string): Session {
    const session = new Session(client, randomUUID(), cwd);
    appendEntry(session.id, {});
    return session;
  }

  /** Sends the session’s updates again. @throws RpcError where there is no such session. */
  static load(client: Client, id: string, cwd: string): Session {
    const session = new Session(client, id, cwd);
    for (const { thread, update } of readEntries(id)) {
      if (typeof thread === 'string') session.#thread = thread;
      if (isObject(update)) session.#sendUpdate(update);
    }
    return session;
  }

  /** Resolves to the stop reason of ACP. @throws RpcError */
  async prompt(amp: string, blocks: readonly Json[]): Promise<string> {
    if (this.#run !== null) throw new RpcError(INVALID_PARAMS, 'A prompt is already running in this session.');
    const content = blocks.filter(({ type }) => type === 'text').map((block) => ({ type: 'text', text: text(block['text']) }));
    let result: Json | null = null;
    const run = startAmp(amp, this.#thread, this.#cwd, content, (message) => {
      if (message['type'] === 'result') result = message;
      this.#onOutput(message);
    });
    for (const block of content) appendEntry(this.id, { update: { sessionUpdate: 'user_message_chunk', content: block } });
    this.#cancelled = false;
    this.#run = run;
    const ended = await endOf(run);
    this.#run = null;
    return this.#cancelled ? 'cancelled' : stopReasonOf(result, ended);
  }

  /** Stops the current run. The prompt is answered when the run has ended. */
  cancel(): void {
    const run = this.#run;
    if (run === null) return;
    this.#cancelled = true;
    run.kill('SIGTERM');
    setTimeout(() => run.kill('SIGKILL'), KILL_DELAY_MS).unref();
  }

  kill(): void {
    this.#run?.kill('SIGKILL');
  }

  #onOutput(message: Json): void {
    const thread = message['session_id'];
    if (typeof thread === 'string' && thread !== this.#thread) {
      this.#thread = thread;
      appendEntry(this.id, { thread });
    }
    for (const update of updatesOf(message)) {
      appendEntry(this.id, { update });
      this.#sendUpdate(update);
    }
  }

  #sendUpdate(update: Json): void {
    this.#client.notify('session/update', { sessionId: this.id, update });
  }
}

function stopReasonOf(result: Json | null, ended: string): string {
  if (result === null) throw new RpcError(INTERNAL_ERROR, `Amp ${ended} without a result.`);
  if (result['subtype'] === 'error_max_turns') return 'max_turn_requests';
  // The error text comes from the service, so it is not passed on.
  if (result['is_error'] !== false) throw new RpcError(INTERNAL_ERROR, 'Amp ended the turn with an error.');
  return 'end_turn';
}
