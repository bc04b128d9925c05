import { setTimeout as sleep } from 'node:timers/promises';

import { createParser } from 'eventsource-parser';

import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';
import type { AgentMessage } from './backlog.ts';
import { ProcessGone } from './post.ts';

/** The shim keeps every message below this size. A longer one comes from another program in the sandbox and could fill the worker's memory. */
const MAX_MESSAGE_CHARS = 4 * 1024 * 1024;
const RECONNECT_PAUSE_MS = 100;
/** Consecutive connections that broke at once without a message: a server under load refuses some. */
const MAX_RECONNECTS = 20;
/** A connection that lasted this long resets the count of failures. */
const STABLE_AFTER_MS = 5000;
/** The server writes a keep-alive every 15 s, so a connection without data for this long is broken even if it looks open. */
const SILENCE_TIMEOUT_MS = 45_000;

export interface MessageStreamOptions {
  sandbox: SandboxConnection;
  /** The URL path of the agent's process at the server. */
  path: string;
  /** The event id after which messages are read. */
  after: number;
  signal: AbortSignal;
  /** Called for each new connection. */
  onOpen: () => void;
}

export interface MessageStream {
  /**
   * Yields the agent's messages after `after`, in order, each once. The server keeps the last 1,024; where older ones are missing, the ids
   * jump. A message that is too long has empty data. A broken connection is reopened where it broke; only `signal` ends the generator.
   * Throws `sandbox_lost` when the server has stopped, `ProcessGone` when it does not know the agent's process, `sandbox_socket_refused`.
   */
  messages: AsyncGenerator<AgentMessage, void>;
  /** Reopens the connection, which then begins with everything that the server has after the newest message. */
  reattach(): void;
}

/**
 * Reads the agent's messages. A connection can miss some: sandbox-agent 0.4.2 copies its stored messages before it subscribes to new ones,
 * so that a message in between is in neither, and a reader that lags by 512 messages loses some. So when the ids jump, the connection is
 * reopened once; the new one begins with the missing messages, unless the server has discarded them.
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
      const timer = setTimeout(() => silence.abort(), SILENCE_TIMEOUT_MS);
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
        // The connection broke: the loop reopens it.
      } finally {
        clearTimeout(timer);
      }
      if (jumps || replaced.aborted) continue;
      failures = performance.now() - openedMs > STABLE_AFTER_MS ? 0 : failures + 1;
      if (failures > MAX_RECONNECTS)
        throw new ValetkeyError('sandbox_lost', 'The sandbox-agent server keeps closing the stream of the agent’s messages.');
      await sleep(RECONNECT_PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  }

  return { messages: read(), reattach: () => connection.abort() };
}

/** Opens one connection; null when that failed and may be tried again. */
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

/** Parses the events of one connection; it ends after a message that is too long. */
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
