/** Distributes notices that a job's running steps may have to stop, from whatever source, to those steps. */
export class StopNotices {
  readonly #listening = new Map<string, Set<() => void>>();

  /** Calls `wake` at each notice about a job, until the returned function is called. */
  listen(jobId: string, wake: () => void): () => void {
    const wakes = this.#listening.get(jobId) ?? new Set();
    this.#listening.set(jobId, wakes.add(wake));
    return () => {
      wakes.delete(wake);
      if (wakes.size === 0 && this.#listening.get(jobId) === wakes) this.#listening.delete(jobId);
    };
  }

  notify(jobId: string): void {
    for (const wake of this.#listening.get(jobId) ?? []) wake();
  }

  /** Wakes the steps of all jobs, because notices may have been missed. */
  notifyAll(): void {
    for (const wakes of this.#listening.values()) for (const wake of wakes) wake();
  }
}
