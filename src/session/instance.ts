import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { ValetkeyError } from '../job/errors.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { acpPath, post } from './post.ts';
import { readJson } from './sandbox-api.ts';

const serversSchema = z.object({ servers: z.array(z.object({ serverId: z.string(), createdAtMs: z.number() })) });

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

/** What a client's own time-out is told as. */
export function unresponsive(what: string, timeoutMs: number): ValetkeyError {
  return new ValetkeyError('agent_unresponsive', `The agent did not answer ${what} within ${timeoutMs / 1000} s.`);
}
