import { z } from 'zod';

/** Holds those who pass until it is opened. */
export class Gate {
  readonly #reached = Promise.withResolvers<void>();
  readonly #opened = Promise.withResolvers<void>();

  /** Resolves when somebody stands before it. */
  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  async pass(): Promise<void> {
    this.#reached.resolve();
    await this.#opened.promise;
  }

  open(): void {
    this.#opened.resolve();
  }
}

/** What an adapter's method takes first: something of a job, or a key, whose ref begins with the job's id. */
const jobIdSchema = z.union([
  z.object({ jobId: z.string() }).transform(({ jobId }) => jobId),
  z.object({ ref: z.string() }).transform(({ ref }) => ref.split('/')[0] ?? ''),
]);

/** The same adapter with something before one of its methods. `wait` gets the id of the job and what the method takes first. */
export function before<T extends object>(adapter: T, method: keyof T, wait: (jobId: string, subject: unknown) => Promise<void>): T {
  return new Proxy(adapter, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      const call = (...parameters: unknown[]): unknown => Reflect.apply(member, target, parameters);
      return name === method
        ? async (...parameters: unknown[]) => wait(jobIdSchema.parse(parameters[0]), parameters[0]).then(() => call(...parameters))
        : call;
    },
  });
}
