import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';
import { parseMessage, PING, type AcpAnswer, type AcpMessage } from './acp.ts';
import { readBacklog, type AgentMessage } from './backlog.ts';
import { unresponsive } from './instance.ts';
import { acpPath, post, ProcessGone } from './post.ts';
import { openMessageStream } from './stream.ts';

const PROBE_EVERY_MS = 1500;
/** A server that is gone refuses connections, which is noticed at once: this is for one that hangs, and a busy host answers late. */
const PROBE_TIMEOUT_MS = 45_000;
/** An agent that answers what nobody asked must not fill the memory: of answers that come before their request, as they do again after a restart. */
const MAX_EARLY_CHARS = 8 * 1024 * 1024;
/** An agent that asks without end must not, either: reading waits for the answers. */
const MAX_RESPONDING = 32;
/** After what the shim kept was read it is not read again for so many times as long. */
const KEPT_PAUSE = 2;
/** What a process said before it died is still to be had; where nothing came for so long, all was read. */
const QUIET_MS = 500;
const LAST_WORDS_MS = 3000;

export interface AcpOptions {
  sandbox: SandboxConnection;
  /** Names the agent's process at the server. */
  serverId: string;
  /** Event id: the messages after it are read. */
  after: number;
  /** Gets every message but the answers to our requests, in order; null for one that cannot be read. Reading waits for it. */
  onMessage: (message: AcpMessage | null, eventId: number) => Promise<void>;
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
  /** Event id of the newest message that was read. */
  newest(): number;
  /** Answers a request of the agent. The first answer counts. */
  respond(id: string | number, outcome: { result: unknown } | { error: { code: number; message: string } }): Promise<void>;
  /** Never resolves; rejects within 5 s of the end of the server (`sandbox_lost`) or of the agent's process (`ProcessGone`). */
  readonly lost: Promise<never>;
  /**
   * Closes it after the message that is being read. Resolves to the event id of that one once the agent has what it was answered; to null
   * where an answer did not arrive.
   */
  stop(): Promise<number | null>;
  /** The agent goes on. */
  close(): void;
}

/** Opens a conversation. The agent's process must be there: see `startProcess`. */
export function openAcp({ sandbox, serverId, after, onMessage, onGap }: AcpOptions): AcpConnection {
  const path = acpPath(serverId);
  const closing = new AbortController();
  const stopping = new AbortController();
  const readingOver = AbortSignal.any([closing.signal, stopping.signal]);
  const answers = new Map<string, PromiseWithResolvers<AcpAnswer>>();
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => {});
  const responding = new Set<Promise<void>>();
  let isUndelivered = false;
  let earlyChars = 0;
  let last = after;
  /** Since when the stream is open and nothing was said; null: it is not open, or something is being read. */
  let quietSinceMs: number | null = null;
  const rest = (): void => {
    quietSinceMs = performance.now();
  };
  const stream = openMessageStream({ sandbox, path, after, signal: readingOver, onOpen: rest });

  const answerTo = (id: string): PromiseWithResolvers<AcpAnswer> => {
    const known = answers.get(id) ?? Promise.withResolvers<AcpAnswer>();
    answers.set(id, known);
    return known;
  };
  const read = async (): Promise<void> => {
    let mayReadKeptAtMs = 0;
    for await (const said of stream.messages) {
      quietSinceMs = null;
      let forgotten: AgentMessage[] = [];
      if (said.eventId !== last + 1) {
        // The file may be long, and the agent's own server may skip numbers without end: other sessions are read, too.
        await sleep(mayReadKeptAtMs - performance.now(), undefined, { signal: readingOver });
        const beganMs = performance.now();
        forgotten = await readBacklog(sandbox, last, said, readingOver);
        mayReadKeptAtMs = performance.now() + KEPT_PAUSE * (performance.now() - beganMs);
      }
      for (const { eventId, data } of [...forgotten, said]) {
        if (readingOver.aborted) return;
        const missed = eventId - last - 1;
        if (missed > 0) await onGap(missed, eventId);
        last = eventId;
        await take(parseMessage(data), eventId, data.length);
      }
      rest();
    }
  };
  const take = async (message: AcpMessage | null, eventId: number, chars: number): Promise<void> => {
    if (message === null || message.method !== undefined || typeof message.id !== 'string') {
      while (responding.size >= MAX_RESPONDING) await Promise.race(responding);
      return onMessage(message, eventId);
    }
    const isEarly = !answers.has(message.id);
    if (isEarly && earlyChars > MAX_EARLY_CHARS) return;
    if (isEarly) earlyChars += chars;
    answerTo(message.id).resolve({ errorCode: message.error?.code ?? null, result: message.result, eventId });
  };
  const isQuiet = (): boolean => quietSinceMs !== null && performance.now() - quietSinceMs >= QUIET_MS;
  /** The process has ended and says nothing any more, so that a new connection lacks nothing. */
  let lastWords: Promise<void> | null = null;
  const readLastWords = async (): Promise<void> => {
    quietSinceMs = null;
    stream.reattach();
    const giveUpAtMs = performance.now() + LAST_WORDS_MS;
    while (!isQuiet() && performance.now() < giveUpAtMs) await sleep(50);
  };
  const fail = (error: unknown): void => {
    if (closing.signal.aborted) return;
    lost.reject(error);
    closing.abort();
  };
  const write = (message: object, signal = closing.signal): Promise<void> =>
    post(sandbox, path, message, signal).catch(async (error: unknown) => {
      if (error instanceof ProcessGone) await (lastWords ??= readLastWords());
      throw error;
    });
  const probe = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      const timeout = AbortSignal.timeout(PROBE_TIMEOUT_MS);
      // The shim answers where this is not the newest, and the answer shows the gap. What is still being read is none.
      const ping = { method: PING, ...(isQuiet() && { params: { after: last } }) };
      await write(ping, AbortSignal.any([closing.signal, timeout])).catch((error: unknown) => {
        throw timeout.aborted ? new ValetkeyError('sandbox_lost', 'The sandbox does not answer.') : error;
      });
      await sleep(PROBE_EVERY_MS, undefined, { signal: closing.signal });
    }
  };
  const reading = read().catch((error: unknown) => {
    if (!stopping.signal.aborted) fail(error);
  });
  probe().catch(fail);

  return {
    lost: lost.promise,
    close: () => closing.abort(),
    async stop() {
      stopping.abort();
      await reading;
      await Promise.all(responding);
      closing.abort();
      return isUndelivered ? null : last;
    },
    notify: (method, params) => write({ method, params }),
    newest: () => last,
    async respond(id, outcome) {
      const writing = write({ id, ...outcome });
      const settled = writing.catch(() => {
        isUndelivered = true;
      });
      responding.add(settled);
      await settled;
      responding.delete(settled);
      await writing;
    },
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
