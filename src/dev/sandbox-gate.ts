import { ValetkeyError } from '../contract/errors.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { SandboxProvider } from '../sandboxes/sandbox.ts';

/** Stands before a worker's sandboxes and can be closed: then no sandbox starts, and those that there are can be ended. */
export class SandboxGate {
  readonly #closing = new AbortController();
  readonly #starting = new Set<Promise<unknown>>();
  #providers: SandboxProvider[] = [];

  /** The same sandboxes, which start as long as the gate is open. */
  guard(sandboxes: Sandboxes): Sandboxes {
    const guarded = { ...sandboxes };
    this.#providers = Object.values(sandboxes);
    for (const provider of this.#providers)
      guarded[provider.name] = { ...provider, start: (request, signal) => this.#start(provider, request, signal) };
    return guarded;
  }

  /** Fails what is starting, so that its job tries again where it goes on. Resolves when nothing starts any more. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new ValetkeyError('sandbox_start_failed', 'valetkey dev is stopping: it starts no sandbox.'));
    await Promise.allSettled(this.#starting);
  }

  async isEmpty(): Promise<boolean> {
    const found = await Promise.all(this.#providers.map((provider) => provider.list()));
    return found.flat().length === 0;
  }

  /** Ends every sandbox that there is, whatever its job does. One that cannot be ended keeps no other from its end; throws the first failure. */
  async endAll(): Promise<void> {
    const ends = this.#providers.map(async (provider) => {
      const listed = await provider.list();
      return Promise.allSettled(listed.map(async ({ jobId }) => provider.stop(jobId).catch(() => provider.stop(jobId))));
    });
    const failed = (await Promise.all(ends)).flat().find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #start(
    provider: SandboxProvider,
    ...[request, signal]: Parameters<SandboxProvider['start']>
  ): ReturnType<SandboxProvider['start']> {
    const closed = this.#closing.signal;
    closed.throwIfAborted();
    const starting = provider.start(request, signal === undefined ? closed : AbortSignal.any([closed, signal]));
    this.#starting.add(starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(starting);
    }
  }
}
