/** Long enough for Postgres and Temporal to shut down, each. */
const HURRIED_END_MS = 5_000;

/** What was started, to be ended from the last to the first. */
export class Parts {
  readonly #ends: (() => Promise<void>)[] = [];
  #pending: Promise<unknown> = Promise.resolve();

  /** Resolves when the part has started; rejects with the reason of the signal where that comes first. */
  async add<T>(starting: Promise<T>, end: (part: T) => Promise<void>, signal?: AbortSignal): Promise<T> {
    const added = starting.then((part) => {
      this.#ends.push(() => end(part));
      return part;
    });
    this.#pending = added.catch(() => {});
    if (signal === undefined) return added;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    try {
      return await Promise.race([added, aborted]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /**
   * Ends all parts, the one that is just starting included; one that fails keeps no other from its end. From the signal on each gets five
   * seconds. Throws the first failure.
   */
  async stop(hurry: AbortSignal): Promise<void> {
    await within(this.#pending, hurry);
    const failures: unknown[] = [];
    for (const end of this.#ends.splice(0).toReversed()) await within(end(), hurry).catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}

/** Waits for the work, from the signal on for five seconds at most. */
export async function within(work: Promise<unknown>, hurry: AbortSignal): Promise<void> {
  const late = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  const start = (): void => {
    timer = setTimeout(late.resolve, HURRIED_END_MS);
  };
  hurry.addEventListener('abort', start);
  if (hurry.aborted) start();
  try {
    await Promise.race([work, late.promise]);
  } finally {
    hurry.removeEventListener('abort', start);
    clearTimeout(timer);
  }
}
