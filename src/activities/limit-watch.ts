import { log } from '@temporalio/activity';

import { codeOf, ValetkeyError } from '../contract/errors.ts';
import type { SandboxLimits } from '../contract/limits-spec.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { LimitWarning, SandboxHandle } from '../sandboxes/sandbox.ts';
import type { Db } from '../store/database.ts';
import { appendEvents, type SourcedEvent } from '../store/events.ts';

/** Of one sandbox: a test that runs into a limit does it again and again. */
const MAX_WARNINGS_PER_LIMIT = 20;

export interface LimitWatch {
  /** Aborts with `disk_full` when the sandbox has written more than it may. */
  exceeded: AbortSignal;
  /** Resolves when all warnings are stored. */
  stop(): Promise<void>;
}

/** Stores a warning for each limit that the sandbox of a job is near to or has reached, until it is stopped. */
export function startLimitWatch(db: Db, sandboxes: Sandboxes, jobId: string, handle: SandboxHandle): LimitWatch {
  const exceeded = new AbortController();
  const stopped = new AbortController();
  let storing = Promise.resolve();
  const onWarning = (sighting: LimitWarning, limits: SandboxLimits): void => {
    const event = warningOf(handle.id, sighting, limits);
    if (event !== null) {
      storing = storing
        .then(() => appendEvents(db, jobId, [event]))
        .catch((error: unknown): void => {
          log.warn('a warning of a limit was not stored', { jobId, code: codeOf(error) });
        });
    }
    if (sighting.limit === 'disk' && sighting.shareUsed >= 1)
      exceeded.abort(new ValetkeyError('disk_full', `The sandbox wrote ${sighting.usedMiB} MiB: its limit is ${limits.diskMiB} MiB.`));
  };
  const watching = sandboxes[handle.provider].watchLimits?.(handle, onWarning, stopped.signal);
  return {
    exceeded: exceeded.signal,
    async stop() {
      stopped.abort();
      await watching;
      await storing;
    },
  };
}

/** The same sighting of another attempt is the same event. */
function warningOf(sandboxId: string, sighting: LimitWarning, limits: SandboxLimits): SourcedEvent | null {
  const event = (which: string, message: string): SourcedEvent => ({
    source: `limit:${sandboxId}:${sighting.limit}:${which}`,
    body: { type: 'warning', code: `${sighting.limit}_limit`, message },
  });
  if (sighting.limit === 'disk') {
    const { usedMiB, shareUsed } = sighting;
    const tenth = Math.min(10, Math.floor(shareUsed * 10));
    return event(String(tenth), `The sandbox uses ${usedMiB} of ${limits.diskMiB} MiB of disk (sandbox.limits.diskMiB).`);
  }
  if (sighting.times > MAX_WARNINGS_PER_LIMIT && sighting.limit === 'memory') return null;
  return sighting.limit === 'memory'
    ? event(
        String(sighting.times),
        `The sandbox reached its ${limits.memoryMiB} MiB of memory (sandbox.limits.memoryMiB): ${sighting.times} of its processes were killed so far.`,
      )
    : event(
        'reached',
        `The sandbox reached its ${limits.processes} processes and threads (sandbox.limits.processes): more cannot be started.`,
      );
}
