import { openAcp } from '../../src/session/acp/connection.ts';
import { EventStore, startTurn } from './collect.ts';
import type { Server } from './server.ts';

/** Messages that are read of a connection; the rest is left to the next. */
const MESSAGES = 20;
/** Between two messages of the agent: readers on a busy machine keep up, and read across the change from replay to live. */
const INTERVAL_MS = 3;
/** The messages before are of the session's opening. */
const FIRST = 10;

/**
 * Opens so many connections to a server whose scripted agent writes a message every few milliseconds, one after the other, each where
 * the one before ended. Resolves to the messages that were read. Throws where one is missing or comes twice.
 */
export async function reattachOften(server: Server, times: number): Promise<number> {
  const store = new EventStore();
  const detach = new AbortController();
  startTurn(server, store, { prompt: `steps 100000000 ${INTERVAL_MS}`, detach: detach.signal }).catch(() => undefined);
  await store.until(() => store.events.length > FIRST);
  detach.abort(new Error('another reads on'));
  let last = FIRST;
  for (let connection = 1; connection <= times; connection += 1) last = await readSome(server, last);
  return last - FIRST;
}

/** Resolves to the id of the last message that was read. */
async function readSome({ sandbox }: Server, after: number): Promise<number> {
  let last = after;
  const { promise: enough, resolve, reject } = Promise.withResolvers<void>();
  const onMessage = (_message: unknown, eventId: number): Promise<void> => {
    // What comes after these is for the next.
    if (last === after + MESSAGES) return Promise.resolve();
    if (eventId !== last + 1) reject(new Error(`message ${eventId} came after ${last}`));
    last = eventId;
    if (last === after + MESSAGES) resolve();
    return Promise.resolve();
  };
  const onGap = (missed: number, eventId: number): Promise<void> => {
    reject(new Error(`${missed} messages are missing before ${eventId}`));
    return Promise.resolve();
  };
  const acp = openAcp({ sandbox, serverId: 'job:1', after, onMessage, onGap });
  await Promise.race([enough, acp.lost]).finally(() => acp.close());
  return last;
}
