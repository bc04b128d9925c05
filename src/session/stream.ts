import { setTimeout as sleep } from 'node:timers/promises';

import { EventSourceParserStream } from 'eventsource-parser/stream';

import { ValetkeyError } from '../job/errors.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { parseMessage, type AcpMessage } from './acp.ts';

/** A message longer than this ends the session: it would fill the worker's memory. */
const MAX_MESSAGE_CHARS = 16 * 1024 * 1024;
const RECONNECT_MS = 100;
const RECONNECTS = 10;
/** A connection that lasted this long was a good one. */
const LASTING_MS = 5000;

export interface StreamedMessage {
  /** Counts from 1 within one life of the agent's process. */
  eventId: number;
  message: AcpMessage;
}

/**
 * The agent's messages after `after`, in order, each once. A connection that breaks is made again where it broke; ends by
 * `signal` only. Throws `sandbox_lost` when the server or the agent's session is not there, `sandbox_socket_refused`.
 */
export async function* readMessages(
  sandbox: SandboxConnection,
  path: string,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<StreamedMessage, void> {
  let last = after;
  let failures = 0;
  while (!signal.aborted) {
    const openedMs = Date.now();
    const body = await openStream(sandbox, path, last, signal);
    try {
      for await (const { id, data } of parseStream(body)) {
        const eventId = Number(id);
        if (!(eventId > last)) continue;
        last = eventId;
        const message = parseMessage(data);
        if (message !== null) yield { eventId, message };
      }
    } catch {
      // The connection broke: below it is made again.
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
  throw streamLost(`answered HTTP ${response.status}`);
}

function parseStream(body: ReadableStream<Uint8Array> | null): AsyncIterable<{ id?: string | undefined; data: string }> {
  if (body === null) return (async function* () {})();
  return body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream({ maxBufferSize: MAX_MESSAGE_CHARS }));
}

function streamLost(what: string): ValetkeyError {
  return new ValetkeyError('sandbox_lost', `The stream of the agent's messages ${what}.`);
}
