import { setTimeout as sleep } from 'node:timers/promises';

import { aborted } from '../cli/output/stop-signal.ts';
import type { ValetkeyClient } from '../client/client.ts';
import type { Page } from '../client/page.ts';
import type { JobSummary } from '../contract/job-summary.ts';
import type { SandboxGate } from './sandbox-gate.ts';

interface Stopping {
  client: ValetkeyClient;
  taskQueue: string;
  gate: SandboxGate;
}

/** A job that nobody can end must not keep the stack from its end. */
const GIVE_UP_MS = 15_000;
const PAUSE_MS = 200;
const PAGE_JOBS = 1000;

/**
 * Cancels the jobs of a stack whose gate is closed, and those that are submitted meanwhile: the jobs on its task queue, since Temporal may
 * be shared. Resolves when the jobs that ran at first have ended and no sandbox is left, after 15 seconds, or when the signal aborts,
 * whichever comes first. Throws nothing: what it leaves, the gate ends.
 */
export async function endJobs({ client, taskQueue, gate }: Stopping, hurry: AbortSignal): Promise<void> {
  const giveUp = AbortSignal.any([hurry, AbortSignal.timeout(GIVE_UP_MS)]);
  await Promise.race([cancelUntilEnded({ client, taskQueue, gate }, giveUp), aborted(giveUp)]);
}

async function cancelUntilEnded({ client, taskQueue, gate }: Stopping, giveUp: AbortSignal): Promise<void> {
  const cancelled = new Set<string>();
  let first: Set<string> | undefined;
  while (!giveUp.aborted) {
    try {
      const running = await listRunning(client, taskQueue);
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

async function listRunning(client: ValetkeyClient, taskQueue: string): Promise<string[]> {
  const jobIds: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<JobSummary> = await client.jobs.list({ running: true, limit: PAGE_JOBS, cursor });
    jobIds.push(...page.items.filter((job) => job.taskQueue === taskQueue).map(({ jobId }) => jobId));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return jobIds;
}
