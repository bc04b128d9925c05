import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../job/errors.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { parseMessage, PING, type AcpAnswer, type AcpMessage } from './acp.ts';
import { unresponsive } from './instance.ts';
import { readKept } from './kept.ts';
import { acpPath, post, ProcessGone } from './post.ts';
import { readMessages } from './stream.ts';

const PROBE_EVERY_MS = 1500;
const PROBE_TIMEOUT_MS = 15_000;
/** A session has a request a turn. An agent that answers what nobody asked must not fill the memory. */
const MAX_ANSWERS = 1000;
/** What a process said before it died is still to be had; where nothing came for so long, all was read. */
const QUIET_MS = 500;
const LAST_WORDS_MS = 3000;

export interface AcpOptions {
  sandbox: SandboxConnection;
  /** Names the agent's process at the server. */
  serverId: string;
  /** Event id: the messages after it are read. */
  after: number;
  /** Gets every message but the answers to our requests, in order. Reading waits for it. */
  onMessage: (message: AcpMessage, eventId: number) => Promise<void>;
  /** Hears that so many messages before that id are lost: the server has forgotten them, and the shim did not keep them. Reading waits for it. */
  onGap: (missed: number, eventId: number) => Promise<void>;
}

/** A conversation with an agent's process that is there already; any number of them may be open at once. */
export interface AcpConnection {
  /**
   * Resolves to the answer, whoever asked: idempotent on `id`, because the shim drops a repeat and repeats the answer.
   * Throws `agent_unresponsive` after `timeoutMs`, and what ended the connection.
   */
  request(id: string, method: string, params: object, timeoutMs?: number): Promise<AcpAnswer>;
  notify(method: string, params: object): Promise<void>;
  /** Answers a request of the agent. The first answer counts. */
  respond(id: string | number, outcome: { result: unknown } | { error: { code: number; message: string } }): Promise<void>;
  /** Never resolves; rejects within 5 s of the end of the server (`sandbox_lost`) or of the agent's process (`ProcessGone`). */
  readonly lost: Promise<never>;
  /** The agent goes on. */
  close(): void;
}

/** Opens a conversation. The agent's process must be there: see `startProcess`. */
export function openAcp({ sandbox, serverId, after, onMessage, onGap }: AcpOptions): AcpConnection {
  const path = acpPath(serverId);
  const closing = new AbortController();
  const answers = new Map<string, PromiseWithResolvers<AcpAnswer>>();
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => {});
  /** Since when the stream is open and nothing was said; null: it is not open, or something is being read. */
  let quietSinceMs: number | null = null;
  const rest = (): void => {
    quietSinceMs = Date.now();
  };

  const answerTo = (id: string): PromiseWithResolvers<AcpAnswer> => {
    const known = answers.get(id) ?? Promise.withResolvers<AcpAnswer>();
    answers.set(id, known);
    return known;
  };
  const read = async (): Promise<void> => {
    let last = after;
    for await (const said of readMessages(sandbox, path, after, closing.signal, rest)) {
      quietSinceMs = null;
      const forgotten = said.eventId === last + 1 ? [] : await readKept(sandbox, last, said, closing.signal);
      for (const { eventId, data } of [...forgotten, said]) {
        const missed = eventId - last - 1;
        if (missed > 0) await onGap(missed, eventId);
        last = eventId;
        await take(parseMessage(data), eventId);
      }
      rest();
    }
  };
  const take = async (message: AcpMessage | null, eventId: number): Promise<void> => {
    if (message === null) return;
    if (message.method !== undefined || typeof message.id !== 'string') return onMessage(message, eventId);
    if (answers.size >= MAX_ANSWERS) return;
    answerTo(message.id).resolve({ errorCode: message.error?.code ?? null, result: message.result, eventId });
  };
  const isQuiet = (): boolean => quietSinceMs !== null && Date.now() - quietSinceMs >= QUIET_MS;
  const allRead = async (): Promise<void> => {
    const giveUpAtMs = Date.now() + LAST_WORDS_MS;
    while (!isQuiet() && Date.now() < giveUpAtMs) await sleep(50);
  };
  const fail = (error: unknown): void => {
    if (closing.signal.aborted) return;
    lost.reject(error);
    closing.abort();
  };
  const write = (message: object, signal = closing.signal): Promise<void> =>
    post(sandbox, path, message, signal).catch(async (error: unknown) => {
      if (error instanceof ProcessGone) await allRead();
      throw error;
    });
  const probe = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      const timeout = AbortSignal.timeout(PROBE_TIMEOUT_MS);
      await write({ method: PING }, AbortSignal.any([closing.signal, timeout])).catch((error: unknown) => {
        throw timeout.aborted ? new ValetkeyError('sandbox_lost', 'The sandbox does not answer.') : error;
      });
      await sleep(PROBE_EVERY_MS, undefined, { signal: closing.signal });
    }
  };
  for (const task of [read, probe]) task().catch(fail);

  return {
    lost: lost.promise,
    close: () => closing.abort(),
    notify: (method, params) => write({ method, params }),
    respond: (id, outcome) => write({ id, ...outcome }),
    async request(id, method, params, timeoutMs) {
      const settled = new AbortController();
      const answer = answerTo(id).promise;
      const ended = AbortSignal.any([settled.signal, closing.signal]);
      // That it was taken says nothing: the answer is in the stream, also when this connection breaks.
      const refused = write({ id, method, params }, ended).then(() => lost.promise);
      try {
        return await Promise.race([
          answer,
          lost.promise,
          refused,
          ...(timeoutMs === undefined ? [] : [unanswered(method, timeoutMs, ended)]),
        ]);
      } finally {
        settled.abort();
      }
    },
  };
}

async function unanswered(method: string, timeoutMs: number, signal: AbortSignal): Promise<never> {
  await sleep(timeoutMs, undefined, { signal });
  throw unresponsive(method, timeoutMs);
}
