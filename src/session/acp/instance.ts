import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { readJson } from '../../sandboxes/api.ts';
import { SERVER_AGENT, type SandboxConnection } from '../../sandboxes/sandbox.ts';
import { PING } from './acp.ts';
import { acpPath, post } from './post.ts';

const LIST_TIMEOUT_MS = 45_000;
const WARM_UP_TIMEOUT_MS = 5_000;

/** One of the processes that the agent has had in this sandbox; it may have died. */
export interface AgentProcess {
  /** Counts from 0. */
  number: number;
  /** Its name at the sandbox-agent server. */
  serverId: string;
  /** When it was started, epoch ms. */
  startedAtMs: number;
}

const serversSchema = z.object({ servers: z.array(z.object({ serverId: z.string(), createdAtMs: z.number() })) });

/** The newest of the job's processes, null when there is none. The server lists those that died, too. Throws `sandbox_lost`. */
export async function findProcess(sandbox: SandboxConnection, jobId: string, signal: AbortSignal): Promise<AgentProcess | null> {
  const timeout = AbortSignal.timeout(LIST_TIMEOUT_MS);
  const response = await sandbox.fetch('/v1/acp', { signal: AbortSignal.any([signal, timeout]) }).catch((error: unknown) => {
    throw timeout.aborted ? new ValetkeyError('sandbox_lost', 'The sandbox does not answer.') : error;
  });
  const parsed = serversSchema.safeParse(await readJson(response));
  if (!parsed.success) throw new ValetkeyError('sandbox_lost', `The sandbox does not tell its sessions (HTTP ${response.status}).`);
  const processes = parsed.data.servers.flatMap(({ serverId, createdAtMs }) => {
    const number = serverId === jobId ? 0 : Number(serverId.startsWith(`${jobId}.`) ? serverId.slice(jobId.length + 1) : Number.NaN);
    return serverId === serverIdOf(jobId, number) ? [{ number, serverId, startedAtMs: createdAtMs }] : [];
  });
  return processes.toSorted((a, b) => b.number - a.number)[0] ?? null;
}

export interface StartProcessOptions {
  jobId: string;
  number: number;
  /** A request: it is sent again on the connection that the caller opens. */
  first: object;
  timeoutMs: number;
}

/**
 * Starts the agent's process of that number by its first request; one that is there stays. `signal` must end with the turn, not
 * before. Throws `sandbox_lost`, `ProcessGone`, `agent_unresponsive` after `timeoutMs`.
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
  throw unresponsive('start', timeoutMs);
}

/**
 * Starts the first process without the agent, which the shim in it starts with the first message, when its files are there: a first
 * turn then does not wait for the shim. Throws nothing: a turn that finds no process starts it.
 */
export async function warmUp(sandbox: SandboxConnection, jobId: string, signal: AbortSignal): Promise<void> {
  const timeout = AbortSignal.timeout(WARM_UP_TIMEOUT_MS);
  await post(sandbox, startPath(jobId, 0), { method: PING }, AbortSignal.any([signal, timeout])).catch(() => {});
}

/** Only a request that may start a process names the agent: a server that was started anew refuses the others. */
function startPath(jobId: string, number: number): string {
  return `${acpPath(serverIdOf(jobId, number))}?agent=${SERVER_AGENT}`;
}

/** What a client's own time-out is told as. */
export function unresponsive(what: string, timeoutMs: number): ValetkeyError {
  return new ValetkeyError('agent_unresponsive', `The agent did not answer ${what} within ${timeoutMs / 1000} s.`);
}

function serverIdOf(jobId: string, number: number): string {
  return number === 0 ? jobId : `${jobId}.${number}`;
}
