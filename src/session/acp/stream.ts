import { setTimeout as sleep } from 'node:timers/promises';

import { createParser } from 'eventsource-parser';

import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';
import type { AgentMessage } from './backlog.ts';
import { ProcessGone } from './post.ts';

/** The shim makes each message fit into less. A longer one is of somebody else in the sandbox: it would fill the worker's memory. */
const MAX_MESSAGE_CHARS = 4 * 1024 * 1024;
const RECONNECT_MS = 100;
/** Connections one after the other that brought no message and broke at once: a server under load refuses some. */
const RECONNECTS = 20;
/** A connection that lasted this long was a good one. */
const LASTING_MS = 5000;
/** The server writes something every 15 s: a connection that brings nothing for so long is broken, whatever it looks like. */
const SILENCE_MS = 45_000;

export interface MessageStreamOptions {
  sandbox: SandboxConnection;
  /** Of the agent's process at the server. */
  path: string;
  /** Event id: the messages after it are read. */
  after: number;
  signal: AbortSignal;
  /** Called for each connection that is made. */
  onOpen: () => void;
}

export interface MessageStream {
  /**
   * The agent's messages after `after`, in order, each once, but for those that the server has forgotten: it keeps the last 1,024, and
   * the ids jump. The data of one that is too long is empty. A connection that breaks is made again where it broke; ends by `signal` only.
   * Throws `sandbox_lost` when the server is not there, `ProcessGone` when it does not know the agent's process, `sandbox_socket_refused`.
   */
  messages: AsyncGenerator<AgentMessage, void>;
  /** Makes the connection again, which then begins with all that the server has after the newest message. */
  reattach(): void;
}

/**
 * Reads the agent's messages. A connection can lack one: sandbox-agent 0.4.2 copies what it has before it subscribes to what comes, and
 * what comes in between is in neither; a reader that lags by 512 misses some, too. So where the ids jump another connection is made once,
 * which begins with what is missing unless the server has forgotten it.
 */
export function openMessageStream({ sandbox, path, after, signal, onOpen }: MessageStreamOptions): MessageStream {
  let connection = new AbortController();

  async function* read(): AsyncGenerator<AgentMessage, void> {
    let last = after;
    let jumpedAfter = -1;
    let failures = 0;
    while (!signal.aborted) {
      const openedMs = performance.now();
      const silence = new AbortController();
      const timer = setTimeout(() => silence.abort(), SILENCE_MS);
      connection = new AbortController();
      const { signal: replaced } = connection;
      let jumps = false;
      try {
        const body = await openBody(sandbox, path, last, AbortSignal.any([signal, silence.signal, replaced]));
        if (body !== null) onOpen();
        for await (const { eventId, data } of parse(body, () => timer.refresh())) {
          if (!(eventId > last)) continue;
          jumps = eventId > last + 1 && jumpedAfter !== last;
          if (jumps) break;
          failures = 0;
          last = eventId;
          yield { eventId, data };
        }
        if (jumps) jumpedAfter = last;
      } catch (error) {
        if (ValetkeyError.is(error)) throw error;
        // The connection broke: below it is made again.
      } finally {
        clearTimeout(timer);
      }
      if (jumps || replaced.aborted) continue;
      failures = performance.now() - openedMs > LASTING_MS ? 0 : failures + 1;
      if (failures > RECONNECTS) throw new ValetkeyError('sandbox_lost', 'The stream of the agent’s messages ended.');
      await sleep(RECONNECT_MS, undefined, { signal }).catch(() => {});
    }
  }

  return { messages: read(), reattach: () => connection.abort() };
}

/** Null when no connection could be made this time. */
async function openBody(
  sandbox: SandboxConnection,
  path: string,
  after: number,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array> | null> {
  const headers = { accept: 'text/event-stream', 'last-event-id': String(after) };
  const response = await sandbox.fetch(path, { headers, signal }).catch((error: unknown) => {
    if (ValetkeyError.is(error) && error.code !== 'sandbox_lost') throw error;
    return null;
  });
  if (response === null || response.ok) return response?.body ?? null;
  await response.body?.cancel();
  throw new ProcessGone(response.status);
}

/** Ends after a message that is too long. */
async function* parse(body: ReadableStream<Uint8Array> | null, onBytes: () => void): AsyncGenerator<AgentMessage, void> {
  const decoder = new TextDecoder();
  const read: AgentMessage[] = [];
  let newestId = Number.NaN;
  let isTooLong = false;
  const parser = createParser({
    maxBufferSize: MAX_MESSAGE_CHARS,
    onId: (id) => (newestId = Number(id)),
    onEvent: ({ id, data }) => read.push({ eventId: Number(id), data }),
    onError: ({ type }) => (isTooLong ||= type === 'max-buffer-size-exceeded'),
  });
  for await (const part of body ?? []) {
    onBytes();
    parser.feed(decoder.decode(part, { stream: true }));
    yield* read.splice(0);
    if (!isTooLong) continue;
    yield { eventId: newestId, data: '' };
    return;
  }
}
