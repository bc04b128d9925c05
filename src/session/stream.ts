import { setTimeout as sleep } from 'node:timers/promises';

import { EventSourceParserStream } from 'eventsource-parser/stream';

import { ValetkeyError } from '../job/errors.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Said } from './kept.ts';
import { ProcessGone } from './post.ts';

/** A message longer than this ends the session: it would fill the worker's memory. */
const MAX_MESSAGE_CHARS = 16 * 1024 * 1024;
const RECONNECT_MS = 100;
const RECONNECTS = 10;
/** A connection that lasted this long was a good one. */
const LASTING_MS = 5000;
/** The server writes something every 15 s: a connection that brings nothing for so long is broken, whatever it looks like. */
const SILENCE_MS = 45_000;

/**
 * The agent's messages after `after`, in order, each once, but for those that the server has forgotten: it keeps the last 1,024, and
 * the ids jump. A connection that breaks is made again where it broke; ends by `signal` only. `onOpen` hears of each connection.
 * Throws `sandbox_lost` when the server is not there, `ProcessGone` when it does not know the agent's process, `sandbox_socket_refused`.
 */
export async function* readMessages(
  sandbox: SandboxConnection,
  path: string,
  after: number,
  signal: AbortSignal,
  onOpen: () => void,
): AsyncGenerator<Said, void> {
  let last = after;
  let failures = 0;
  while (!signal.aborted) {
    const openedMs = Date.now();
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const body = await openStream(sandbox, path, last, AbortSignal.any([signal, silence.signal]));
      if (body !== null) onOpen();
      for await (const { id, data } of parseStream(body, () => timer.refresh())) {
        const eventId = Number(id);
        if (!(eventId > last)) continue;
        last = eventId;
        yield { eventId, data };
      }
    } catch (error) {
      if (ValetkeyError.is(error)) throw error;
      // The connection broke: below it is made again.
    } finally {
      clearTimeout(timer);
    }
    failures = Date.now() - openedMs > LASTING_MS ? 0 : failures + 1;
    if (failures > RECONNECTS) throw streamLost('ended');
    await sleep(RECONNECT_MS, undefined, { signal }).catch(() => {});
  }
}

/** Null when no connection could be made this time. */
async function openStream(
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

function parseStream(
  body: ReadableStream<Uint8Array> | null,
  onBytes: () => void,
): AsyncIterable<{ id?: string | undefined; data: string }> {
  if (body === null) return (async function* () {})();
  const watch = new TransformStream<Uint8Array, Uint8Array>({
    transform(part, controller) {
      onBytes();
      controller.enqueue(part);
    },
  });
  return body
    .pipeThrough(watch)
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream({ maxBufferSize: MAX_MESSAGE_CHARS }));
}

function streamLost(what: string): ValetkeyError {
  return new ValetkeyError('sandbox_lost', `The stream of the agent's messages ${what}.`);
}
