import type { Reserved } from '../../store/requests.ts';

/** Another replica's requests end without notice: so often is asked again while they hold what is missing. */
const ASK_AGAIN_MS = 200;

/** What came of a request that wants to spend; `leave`: its caller gave up first. */
export type Admitted = Exclude<Reserved, { action: 'wait' }> | { action: 'leave' };

interface Line {
  /** The request that asks now is the first; the others wait for it. */
  tail: Promise<void>;
  waiting: number;
  /** Wakes the first of the line. */
  wake: (() => void) | null;
}

/**
 * The requests of this replica that wait for their job's budget: first come, first served. Whether one fits is decided by Postgres, over
 * all replicas.
 */
export class Admission {
  readonly #lines = new Map<string, Line>();

  /** Requests that wait, of all jobs. */
  get waiting(): number {
    let waiting = 0;
    for (const line of this.#lines.values()) waiting += line.waiting;
    return waiting;
  }

  /** Whether a request of the job would have to wait for others. */
  hasLine(jobId: string): boolean {
    return this.#lines.has(jobId);
  }

  /** Asks, in the job's line, until the answer is not to wait. Throws what `ask` throws. */
  async admit(jobId: string, ask: () => Promise<Reserved>, signal: AbortSignal): Promise<Admitted> {
    const line = this.#lines.get(jobId) ?? { tail: Promise.resolve(), waiting: 0, wake: null };
    this.#lines.set(jobId, line);
    line.waiting += 1;
    const { promise: turn, resolve: pass } = Promise.withResolvers<void>();
    const before = line.tail;
    line.tail = before.then(() => turn);
    try {
      await orAborted(before, signal);
      for (;;) {
        if (signal.aborted) return { action: 'leave' };
        const reserved = await ask();
        if (reserved.action !== 'wait') return reserved;
        await this.#woken(line, signal);
      }
    } finally {
      line.waiting -= 1;
      pass();
      if (line.waiting === 0) this.#lines.delete(jobId);
    }
  }

  /** A request of the job has ended, and what it held is free. */
  release(jobId: string): void {
    this.#lines.get(jobId)?.wake?.();
  }

  async #woken(line: Line, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ASK_AGAIN_MS);
    line.wake = resolve;
    await orAborted(promise, signal);
    line.wake = null;
    clearTimeout(timer);
  }
}

async function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const onAbort = (): void => resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  await Promise.race([promise, aborted]);
  signal.removeEventListener('abort', onAbort);
}
