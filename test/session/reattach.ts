import { openMessageStream } from '../../src/session/stream.ts';
import { EventStore, startTurn } from './collect.ts';
import type { Server } from './server.ts';

/** Messages that are read of a connection; the rest is left to the next. */
const MESSAGES = 20;

/**
 * Opens so many connections to a server whose scripted agent writes a message every millisecond or two, one after the other, each where
 * the one before ended. Resolves to the messages that were read. Throws where one is missing or comes twice.
 */
export async function reattachOften(server: Server, times: number): Promise<number> {
  const store = new EventStore();
  const detach = new AbortController();
  startTurn(server, store, { prompt: 'steps 100000000 1', detach: detach.signal }).catch(() => undefined);
  await store.until(() => store.events.length > 0);
  detach.abort(new Error('another reads on'));
  let last = 0;
  for (let connection = 1; connection <= times; connection += 1) {
    const closing = new AbortController();
    const path = '/v1/acp/job%3A1';
    const { messages } = openMessageStream({ sandbox: server.sandbox, path, after: last, signal: closing.signal, onOpen: () => {} });
    for await (const { eventId } of messages) {
      if (eventId !== last + 1) throw new Error(`message ${eventId} came after ${last}`);
      last = eventId;
      if (last % MESSAGES === 0) break;
    }
    closing.abort();
  }
  return last;
}
