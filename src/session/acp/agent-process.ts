import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { PING_METHOD } from '../../in-sandbox/shim/protocol.ts';
import { readJson } from '../../sandboxes/api.ts';
import { SERVER_AGENT, type SandboxConnection } from '../../sandboxes/sandbox.ts';
import { acpPath, post } from './post.ts';

const LIST_TIMEOUT_MS = 45_000;
const WARM_UP_TIMEOUT_MS = 5_000;

/** A process of the agent in this sandbox; it may have ended. */
export interface AgentProcess {
  /** The number of the process within its job, from 0. */
  number: number;
  /** The name of the process at the sandbox-agent server. */
  serverId: string;
  /** When the process started, epoch ms. */
  startedAtMs: number;
}

const serversSchema = z.object({ servers: z.array(z.object({ serverId: z.string(), createdAtMs: z.number() })) });

/** Returns the newest process of the job's agent, null when there is none. The server also lists ended processes. Throws `sandbox_lost`. */
export async function findProcess(sandbox: SandboxConnection, jobId: string, signal: AbortSignal): Promise<AgentProcess | null> {
  const timeout = AbortSignal.timeout(LIST_TIMEOUT_MS);
  const response = await sandbox.fetch('/v1/acp', { signal: AbortSignal.any([signal, timeout]) }).catch((error: unknown) => {
    throw timeout.aborted
      ? new ValetkeyError('sandbox_lost', `The sandbox-agent server did not answer within ${LIST_TIMEOUT_MS / 1000} s.`)
      : error;
  });
  const parsed = serversSchema.safeParse(await readJson(response));
  if (!parsed.success)
    throw new ValetkeyError('sandbox_lost', `The sandbox-agent server did not list its sessions (HTTP ${response.status}).`);
  const processes = parsed.data.servers.flatMap(({ serverId, createdAtMs }) => {
    const number = serverId === jobId ? 0 : Number(serverId.startsWith(`${jobId}.`) ? serverId.slice(jobId.length + 1) : Number.NaN);
    return serverId === serverIdOf(jobId, number) ? [{ number, serverId, startedAtMs: createdAtMs }] : [];
  });
  return processes.toSorted((a, b) => b.number - a.number)[0] ?? null;
}

export interface StartProcessOptions {
  jobId: string;
  number: number;
  /** The request that starts the process; the caller sends it again on its own connection to get the answer. */
  first: object;
  timeoutMs: number;
}

/**
 * Starts the agent's process of that number by sending its first request. Idempotent: a process that exists stays. `signal` must not abort
 * before the turn ends, because the request stays open. Throws `sandbox_lost`, `ProcessGone`, and `agent_unresponsive` after `timeoutMs`.
 */
export async function startProcess(
  sandbox: SandboxConnection,
  { jobId, number, first, timeoutMs }: StartProcessOptions,
  signal: AbortSignal,
): Promise<AgentProcess> {
  const posting = post(sandbox, startPath(jobId, number), first, signal);
  posting.catch(() => {});
  const timeout = AbortSignal.timeout(timeoutMs);
  while (!timeout.aborted) {
    const found = await findProcess(sandbox, jobId, signal);
    if (found !== null && found.number >= number) return found;
    await Promise.race([sleep(20, undefined, { signal }), posting]);
  }
  throw agentUnresponsive('start', timeoutMs);
}

/**
 * Starts the shim of the first process in advance, so that the first turn does not wait for it. The shim starts the agent itself with the
 * first real message, when the agent's files exist. Throws nothing: a turn that finds no process starts one.
 */
export async function warmUp(sandbox: SandboxConnection, jobId: string, signal: AbortSignal): Promise<void> {
  const timeout = AbortSignal.timeout(WARM_UP_TIMEOUT_MS);
  await post(sandbox, startPath(jobId, 0), { method: PING_METHOD }, AbortSignal.any([signal, timeout])).catch(() => {});
}

/** Only a request that may start a process names the agent, so that a restarted server refuses all others. */
function startPath(jobId: string, number: number): string {
  return `${acpPath(serverIdOf(jobId, number))}?agent=${SERVER_AGENT}`;
}

/** The error for an agent that did not answer `what` in time. */
export function agentUnresponsive(what: string, timeoutMs: number): ValetkeyError {
  return new ValetkeyError('agent_unresponsive', `The agent did not answer ${what} within ${timeoutMs / 1000} s.`);
}

function serverIdOf(jobId: string, number: number): string {
  return number === 0 ? jobId : `${jobId}.${number}`;
}
