import type { ReservationResult } from '../../store/requests.ts';

/** The end of another replica's requests sends no notice here, so a waiting request tries its reservation again this often. */
const POLL_INTERVAL_MS = 200;

/** The result of a request's admission; `abandoned`: its caller disconnected first. */
export type AdmissionResult = Exclude<ReservationResult, { action: 'wait' }> | { action: 'abandoned' };

/** The requests of one job that wait. Only the first tries to reserve; the others wait for it. */
interface Queue {
  tail: Promise<void>;
  waiting: number;
  /** Wakes the first of the queue. */
  wake: (() => void) | null;
}

/**
 * Queues the requests of this replica that wait for their job's budget: first come, first served. Postgres decides over all replicas
 * whether a request fits.
 */
export class Admission {
  readonly #queues = new Map<string, Queue>();

  /** The number of requests that wait, of all jobs. */
  get waiting(): number {
    let waiting = 0;
    for (const queue of this.#queues.values()) waiting += queue.waiting;
    return waiting;
  }

  /** Returns whether a request of the job would have to wait for others. */
  hasQueue(jobId: string): boolean {
    return this.#queues.has(jobId);
  }

  /** Queues a request, and calls `reserve` when it is its turn, until the result is not to wait. Throws what `reserve` throws. */
  async admit(jobId: string, reserve: () => Promise<ReservationResult>, signal: AbortSignal): Promise<AdmissionResult> {
    const queue = this.#queues.get(jobId) ?? { tail: Promise.resolve(), waiting: 0, wake: null };
    this.#queues.set(jobId, queue);
    queue.waiting += 1;
    const { promise: turn, resolve: endTurn } = Promise.withResolvers<void>();
    const before = queue.tail;
    queue.tail = before.then(() => turn);
    try {
      await settledOrAborted(before, signal);
      for (;;) {
        if (signal.aborted) return { action: 'abandoned' };
        const reserved = await reserve();
        if (reserved.action !== 'wait') return reserved;
        await this.#waitForRelease(queue, signal);
      }
    } finally {
      queue.waiting -= 1;
      endTurn();
      if (queue.waiting === 0) this.#queues.delete(jobId);
    }
  }

  /** Wakes the first waiting request of the job: another one has ended, and its reservation is free. */
  release(jobId: string): void {
    this.#queues.get(jobId)?.wake?.();
  }

  async #waitForRelease(queue: Queue, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, POLL_INTERVAL_MS);
    queue.wake = resolve;
    await settledOrAborted(promise, signal);
    queue.wake = null;
    clearTimeout(timer);
  }
}

async function settledOrAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const onAbort = (): void => resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  await Promise.race([promise, aborted]);
  signal.removeEventListener('abort', onAbort);
}
