import { setTimeout as sleep } from 'node:timers/promises';

import { aborted } from '../cli/output/stop-signal.ts';
import type { ValetkeyClient } from '../client/client.ts';
import type { SandboxGate } from './sandbox-gate.ts';

const MAX_JOBS = 1000;
/** A job that nobody can end must not keep the stack from its end. */
const GIVE_UP_MS = 15_000;
const PAUSE_MS = 200;

/**
 * Cancels the jobs of a stack whose gate is closed, and those that are submitted meanwhile. Resolves when the jobs that ran at first have
 * ended and no sandbox is left, after 15 seconds, or when the signal aborts, whichever comes first. Throws nothing: what it leaves, the gate ends.
 */
export async function endJobs(client: ValetkeyClient, gate: SandboxGate, hurry: AbortSignal): Promise<void> {
  const giveUp = AbortSignal.any([hurry, AbortSignal.timeout(GIVE_UP_MS)]);
  await Promise.race([cancelUntilEnded(client, gate, giveUp), aborted(giveUp)]);
}

async function cancelUntilEnded(client: ValetkeyClient, gate: SandboxGate, giveUp: AbortSignal): Promise<void> {
  const cancelled = new Set<string>();
  let first: Set<string> | undefined;
  while (!giveUp.aborted) {
    try {
      const running = (await client.jobs.list({ running: true, limit: MAX_JOBS })).items.map(({ jobId }) => jobId);
      first ??= new Set(running);
      const fresh = running.filter((jobId) => !cancelled.has(jobId));
      const results = await Promise.allSettled(fresh.map((jobId) => client.jobs.cancel(jobId)));
      for (const [index, { status }] of results.entries()) if (status === 'fulfilled') cancelled.add(fresh[index] ?? '');
      if (!running.some((jobId) => first?.has(jobId)) && (await gate.isEmpty())) return;
    } catch {
      // Temporal or Postgres is unreachable, perhaps for a moment only.
    }
    await sleep(PAUSE_MS, undefined, { signal: giveUp }).catch(() => {});
  }
}
