import { log } from '@temporalio/activity';

import { codeOf, ValetkeyError } from '../contract/errors.ts';
import type { SandboxLimits } from '../contract/limits-spec.ts';
import { providerNamed, type Sandboxes } from '../sandboxes/index.ts';
import type { LimitWarning, SandboxHandle } from '../sandboxes/sandbox.ts';
import type { Db } from '../store/database.ts';
import { appendEvents, type SourcedEvent } from '../store/events.ts';

/** Memory warnings per sandbox: a program that reaches the limit once usually reaches it again and again. */
const MAX_MEMORY_WARNINGS = 20;

export interface LimitWatch {
  /** Aborts with `disk_full` when the sandbox exceeds its disk limit. */
  exceeded: AbortSignal;
  /** Resolves when all warnings are stored. */
  stop(): Promise<void>;
}

/** Watches a job's sandbox and stores a warning for each limit that it approaches or reaches, until `stop` is called. */
export function startLimitWatch(db: Db, sandboxes: Sandboxes, jobId: string, handle: SandboxHandle): LimitWatch {
  const exceeded = new AbortController();
  const stopped = new AbortController();
  let storing = Promise.resolve();
  const onWarning = (sighting: LimitWarning, limits: SandboxLimits): void => {
    const event = limitWarning(handle.id, sighting, limits);
    if (event !== null) {
      storing = storing
        .then(() => appendEvents(db, jobId, [event]))
        .catch((error: unknown): void => {
          log.warn('a limit warning was not stored', { jobId, code: codeOf(error) });
        });
    }
    if (sighting.limit === 'disk' && sighting.shareUsed >= 1)
      exceeded.abort(
        new ValetkeyError('disk_full', `The sandbox uses ${sighting.usedMiB} MiB of disk; its limit is ${limits.diskMiB} MiB.`),
      );
  };
  const watching = providerNamed(sandboxes, handle.provider).watchLimits?.(handle, onWarning, stopped.signal);
  return {
    exceeded: exceeded.signal,
    async stop() {
      stopped.abort();
      await watching;
      await storing;
    },
  };
}

/** Creates the warning of a sighting; null beyond the limit of warnings. The source is the same in each attempt, so each is stored once. */
function limitWarning(sandboxId: string, sighting: LimitWarning, limits: SandboxLimits): SourcedEvent | null {
  const event = (which: string, message: string): SourcedEvent => ({
    source: `limit:${sandboxId}:${sighting.limit}:${which}`,
    body: { type: 'warning', code: `${sighting.limit}_limit`, message },
  });
  if (sighting.limit === 'disk') {
    const { usedMiB, shareUsed } = sighting;
    const tenth = Math.min(10, Math.floor(shareUsed * 10));
    return event(String(tenth), `The sandbox uses ${usedMiB} of ${limits.diskMiB} MiB of disk (sandbox.limits.diskMiB).`);
  }
  if (sighting.times > MAX_MEMORY_WARNINGS && sighting.limit === 'memory') return null;
  return sighting.limit === 'memory'
    ? event(
        String(sighting.times),
        `The sandbox reached its ${limits.memoryMiB} MiB of memory (sandbox.limits.memoryMiB): ${sighting.times} of its processes have been killed.`,
      )
    : event(
        'reached',
        `The sandbox reached its ${limits.processes} processes and threads (sandbox.limits.processes): it cannot start more.`,
      );
}
