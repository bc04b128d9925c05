import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import { PING_METHOD } from '../../in-sandbox/shim/protocol.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';
import { parseMessage, type AcpAnswer, type AcpMessage } from './acp.ts';
import { agentUnresponsive } from './agent-process.ts';
import { readBacklog, type AgentMessage } from './backlog.ts';
import { acpPath, post, ProcessGone } from './post.ts';
import { openMessageStream } from './stream.ts';

const PROBE_INTERVAL_MS = 1500;
/** This limit is for a server that hangs: a stopped one refuses connections, which is noticed at once. It is long because a busy host answers late. */
const PROBE_TIMEOUT_MS = 45_000;
/**
 * Answers may arrive before their request, since after a restart they are read again. Their total size is limited so that an agent that
 * answers requests that nobody sent does not fill the memory.
 */
const MAX_EARLY_ANSWER_CHARS = 8 * 1024 * 1024;
/** Reading pauses while so many responses are being written, so that an agent that sends requests without end does not fill the memory. */
const MAX_PENDING_RESPONSES = 32;
/** After the backlog was read, it is not read again for this many times as long as that took. */
const BACKLOG_PAUSE_FACTOR = 2;
/** The messages of an ended process remain readable; once none arrived for this long, all of them are read. */
const QUIET_PERIOD_MS = 500;
const DRAIN_TIMEOUT_MS = 3000;

export interface AcpOptions {
  sandbox: SandboxConnection;
  /** The name of the agent's process at the sandbox-agent server. */
  serverId: string;
  /** The event id after which messages are read. */
  after: number;
  /** Receives every message except the answers to our requests, in order; null for an unreadable one. Reading waits for the returned promise. */
  onMessage: (message: AcpMessage | null, eventId: number) => Promise<void>;
  /**
   * Called when `missed` messages before `eventId` are lost: neither the server nor the shim's backlog has them any more. Reading waits for
   * the returned promise.
   */
  onGap: (missed: number, eventId: number) => Promise<void>;
}

/** A connection to a running process of the agent; several may be open at the same time. */
export interface AcpConnection {
  /**
   * Sends a request and resolves to its answer. Idempotent on `id`, also across connections, because the shim drops a repeated request and
   * repeats its answer. Throws `agent_unresponsive` after `timeoutMs`, and the error that ended the connection.
   */
  request(id: string, method: string, params: object, timeoutMs?: number): Promise<AcpAnswer>;
  notify(method: string, params: object): Promise<void>;
  /** Returns the event id of the newest message that was read. */
  newest(): number;
  /** Answers a request of the agent. Only the first answer counts. */
  respond(id: string | number, outcome: { result: unknown } | { error: { code: number; message: string } }): Promise<void>;
  /** Never resolves; rejects within 5 s of the end of the server (`sandbox_lost`) or of the agent's process (`ProcessGone`). A server that hangs takes 45 s. */
  readonly lost: Promise<never>;
  /**
   * Closes the connection after the message that is being read. Resolves to that message's event id once the agent has received all
   * responses; to null when a response was not delivered.
   */
  stop(): Promise<number | null>;
  /** Closes the connection at once; the agent continues. */
  close(): void;
}

/** Opens a connection to a process of the agent that `startProcess` started or `findProcess` found. */
export function openAcp({ sandbox, serverId, after, onMessage, onGap }: AcpOptions): AcpConnection {
  const path = acpPath(serverId);
  const closing = new AbortController();
  const stopping = new AbortController();
  const readingEnded = AbortSignal.any([closing.signal, stopping.signal]);
  const answers = new Map<string, PromiseWithResolvers<AcpAnswer>>();
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => {});
  const responding = new Set<Promise<void>>();
  let isUndelivered = false;
  let earlyChars = 0;
  let last = after;
  /** When the open stream became idle; null while it is not open or a message is being read. */
  let quietSinceMs: number | null = null;
  const markQuiet = (): void => {
    quietSinceMs = performance.now();
  };
  const stream = openMessageStream({ sandbox, path, after, signal: readingEnded, onOpen: markQuiet });

  const answerTo = (id: string): PromiseWithResolvers<AcpAnswer> => {
    const known = answers.get(id) ?? Promise.withResolvers<AcpAnswer>();
    answers.set(id, known);
    return known;
  };
  const read = async (): Promise<void> => {
    let nextBacklogReadMs = 0;
    for await (const received of stream.messages) {
      quietSinceMs = null;
      let backlog: AgentMessage[] = [];
      if (received.eventId !== last + 1) {
        // The pause between two reads of the file leaves time for other sessions: a hostile server can skip numbers without end.
        await sleep(nextBacklogReadMs - performance.now(), undefined, { signal: readingEnded });
        const startedMs = performance.now();
        backlog = await readBacklog(sandbox, last, received, readingEnded);
        nextBacklogReadMs = performance.now() + BACKLOG_PAUSE_FACTOR * (performance.now() - startedMs);
      }
      for (const { eventId, data } of [...backlog, received]) {
        if (readingEnded.aborted) return;
        const missed = eventId - last - 1;
        if (missed > 0) await onGap(missed, eventId);
        last = eventId;
        await handleMessage(parseMessage(data), eventId, data.length);
      }
      markQuiet();
    }
  };
  const handleMessage = async (message: AcpMessage | null, eventId: number, chars: number): Promise<void> => {
    if (message === null || message.method !== undefined || typeof message.id !== 'string') {
      while (responding.size >= MAX_PENDING_RESPONSES) await Promise.race(responding);
      return onMessage(message, eventId);
    }
    const isEarly = !answers.has(message.id);
    if (isEarly && earlyChars > MAX_EARLY_ANSWER_CHARS) return;
    if (isEarly) earlyChars += chars;
    answerTo(message.id).resolve({ errorCode: message.error?.code ?? null, result: message.result, eventId });
  };
  const isQuiet = (): boolean => quietSinceMs !== null && performance.now() - quietSinceMs >= QUIET_PERIOD_MS;
  /** Set once the process has ended: no new messages appear then, so one reconnection delivers all that remain. */
  let draining: Promise<void> | null = null;
  const drainMessages = async (): Promise<void> => {
    quietSinceMs = null;
    stream.reattach();
    const deadlineMs = performance.now() + DRAIN_TIMEOUT_MS;
    while (!isQuiet() && performance.now() < deadlineMs) await sleep(50);
  };
  const fail = (error: unknown): void => {
    if (closing.signal.aborted) return;
    lost.reject(error);
    closing.abort();
  };
  const write = (message: object, signal = closing.signal): Promise<void> =>
    post(sandbox, path, message, signal).catch(async (error: unknown) => {
      if (error instanceof ProcessGone) await (draining ??= drainMessages());
      throw error;
    });
  const probe = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      const timeout = AbortSignal.timeout(PROBE_TIMEOUT_MS);
      // The shim answers when newer messages exist than this one, and its answer reveals a gap. Messages that are still being read are no gap.
      const ping = { method: PING_METHOD, ...(isQuiet() && { params: { after: last } }) };
      await write(ping, AbortSignal.any([closing.signal, timeout])).catch((error: unknown) => {
        throw timeout.aborted
          ? new ValetkeyError('sandbox_lost', `The sandbox-agent server did not answer within ${PROBE_TIMEOUT_MS / 1000} s.`)
          : error;
      });
      await sleep(PROBE_INTERVAL_MS, undefined, { signal: closing.signal });
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
      // The end of the POST is no answer: the answer is in the stream, even when this connection breaks.
      const refused = write({ id, method, params }, ended).then(() => lost.promise);
      try {
        return await Promise.race([
          answer,
          lost.promise,
          refused,
          ...(timeoutMs === undefined ? [] : [rejectAfter(method, timeoutMs, ended)]),
        ]);
      } finally {
        settled.abort();
      }
    },
  };
}

async function rejectAfter(method: string, timeoutMs: number, signal: AbortSignal): Promise<never> {
  await sleep(timeoutMs, undefined, { signal });
  throw agentUnresponsive(method, timeoutMs);
}
