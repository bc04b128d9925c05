import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { ValetkeyError } from '../job/errors.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { PING, type AcpAnswer, type AcpMessage } from './acp.ts';
import { readJson } from './sandbox-api.ts';
import { readMessages } from './stream.ts';

const PROBE_EVERY_MS = 1500;
const PROBE_TIMEOUT_MS = 15_000;
const RETRY_MS = 200;
const TRIES = 5;
/** A post that lasted this long was taken: it waits for its answer. */
const LASTING_MS = 5000;
/** A session has a request a turn. An agent that answers what nobody asked must not fill the memory. */
const MAX_ANSWERS = 1000;

const serversSchema = z.object({ servers: z.array(z.object({ serverId: z.string(), createdAtMs: z.number() })) });

export interface AcpOptions {
  sandbox: SandboxConnection;
  /** Names the agent's process at the server. */
  serverId: string;
  /** Event id: the messages after it are read. */
  after: number;
  /** Gets every message but the answers to our requests, in order. */
  onMessage(message: AcpMessage, eventId: number): void;
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
  /** Never resolves; rejects within 5 s of the end of the server or of the agent's process: `sandbox_lost`. */
  readonly lost: Promise<never>;
  /** The agent goes on. */
  close(): void;
}

export function acpPath(serverId: string): string {
  return `/v1/acp/${encodeURIComponent(serverId)}`;
}

/** When the agent's process of that name was started (epoch ms), null when there is none. Throws `sandbox_lost`. */
export async function findInstance(sandbox: SandboxConnection, serverId: string, signal: AbortSignal): Promise<number | null> {
  const response = await sandbox.fetch('/v1/acp', { signal });
  const parsed = serversSchema.safeParse(await readJson(response));
  if (!parsed.success) throw new ValetkeyError('sandbox_lost', `The sandbox does not tell its sessions (HTTP ${response.status}).`);
  return parsed.data.servers.find((server) => server.serverId === serverId)?.createdAtMs ?? null;
}

/**
 * Starts the agent's process by its first request and resolves to when that was (epoch ms). The caller asks `findInstance`
 * before, and sends the request again on the connection that it opens. `signal` must end with the turn, not before.
 * Throws `sandbox_lost`, `agent_unresponsive` after `timeoutMs`.
 */
export async function startInstance(
  sandbox: SandboxConnection,
  { serverId, agent, first, timeoutMs }: { serverId: string; agent: string; first: object; timeoutMs: number },
  signal: AbortSignal,
): Promise<number> {
  // Only this request names the agent: a server that was started anew refuses the others instead of starting a second agent.
  const posting = post(sandbox, `${acpPath(serverId)}?agent=${agent}`, first, signal);
  posting.catch(() => {});
  const timeout = AbortSignal.timeout(timeoutMs);
  while (!timeout.aborted) {
    const instanceMs = await findInstance(sandbox, serverId, signal);
    if (instanceMs !== null) return instanceMs;
    await Promise.race([sleep(20, undefined, { signal }), posting]);
  }
  throw unresponsive('start', timeoutMs);
}

/** Opens a conversation. The agent's process must be there: see `startInstance`. */
export function openAcp({ sandbox, serverId, after, onMessage }: AcpOptions): AcpConnection {
  const path = acpPath(serverId);
  const closing = new AbortController();
  const answers = new Map<string, PromiseWithResolvers<AcpAnswer>>();
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => {});

  const answerTo = (id: string): PromiseWithResolvers<AcpAnswer> => {
    const known = answers.get(id) ?? Promise.withResolvers<AcpAnswer>();
    answers.set(id, known);
    return known;
  };
  const read = async (): Promise<void> => {
    for await (const { eventId, message } of readMessages(sandbox, path, after, closing.signal)) {
      if (message.method === undefined && typeof message.id === 'string') {
        if (answers.size < MAX_ANSWERS)
          answerTo(message.id).resolve({ errorCode: message.error?.code ?? null, result: message.result, eventId });
      } else {
        onMessage(message, eventId);
      }
    }
  };
  const probe = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      const timeout = AbortSignal.timeout(PROBE_TIMEOUT_MS);
      await post(sandbox, path, { method: PING }, AbortSignal.any([closing.signal, timeout])).catch((error: unknown) => {
        throw timeout.aborted ? new ValetkeyError('sandbox_lost', 'The sandbox does not answer.') : error;
      });
      await sleep(PROBE_EVERY_MS, undefined, { signal: closing.signal });
    }
  };
  for (const task of [read, probe]) {
    task().catch((error: unknown) => {
      if (closing.signal.aborted) return;
      lost.reject(error);
      closing.abort();
    });
  }

  return {
    lost: lost.promise,
    close: () => closing.abort(),
    notify: (method, params) => post(sandbox, path, { method, params }, closing.signal),
    respond: (id, outcome) => post(sandbox, path, { id, ...outcome }, closing.signal),
    async request(id, method, params, timeoutMs) {
      const settled = new AbortController();
      const answer = answerTo(id).promise;
      const ended = AbortSignal.any([settled.signal, closing.signal]);
      // That it was taken says nothing: the answer is in the stream, also when this connection breaks.
      const refused = post(sandbox, path, { id, method, params }, ended).then(() => lost.promise);
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

/** Resolves when the server wrote the message to the agent, or for a request when that was answered. Throws `sandbox_lost`. */
async function post(sandbox: SandboxConnection, path: string, message: object, signal: AbortSignal): Promise<void> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', ...message }),
    signal,
  };
  for (let tries = 1; ; tries += 1) {
    const startedMs = Date.now();
    try {
      const response = await sandbox.fetch(path, init);
      // The body may hold what the agent wrote to stderr: it is not read.
      await response.body?.cancel();
      if (response.ok) return;
      throw new AgentGone(response.status);
    } catch (error) {
      if (signal.aborted || error instanceof AgentGone || tries === TRIES) throw error;
      if (ValetkeyError.is(error) && error.code !== 'sandbox_lost') throw error;
    }
    if (Date.now() - startedMs > LASTING_MS) tries = 0;
    await sleep(RETRY_MS, undefined, { signal });
  }
}

class AgentGone extends ValetkeyError {
  constructor(status: number) {
    super('sandbox_lost', `The agent's process is not there any more (HTTP ${status}).`);
  }
}

async function unanswered(method: string, timeoutMs: number, signal: AbortSignal): Promise<never> {
  await sleep(timeoutMs, undefined, { signal });
  throw unresponsive(method, timeoutMs);
}

function unresponsive(what: string, timeoutMs: number): ValetkeyError {
  return new ValetkeyError('agent_unresponsive', `The agent did not answer ${what} within ${timeoutMs / 1000} s.`);
}
