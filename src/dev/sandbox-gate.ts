import { ValetkeyError } from '../contract/errors.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { SandboxProvider } from '../sandboxes/sandbox.ts';

/** Stands before a worker's sandboxes and can be closed: then no sandbox starts, and those that there are can be ended. */
export class SandboxGate {
  readonly #closing = new AbortController();
  readonly #starting = new Set<Promise<unknown>>();
  /** Jobs whose sandbox was started, or tried to, and has not been ended since: one that is half ended is in no list. */
  readonly #open = new Map<string, SandboxProvider>();
  #providers: SandboxProvider[] = [];

  /** The same sandboxes, which start as long as the gate is open. */
  guard(sandboxes: Sandboxes): Sandboxes {
    const guarded = { ...sandboxes };
    this.#providers = Object.values(sandboxes);
    for (const provider of this.#providers)
      guarded[provider.name] = {
        ...provider,
        start: (request, signal) => this.#start(provider, request, signal),
        stop: (jobId) => this.#stop(provider, jobId),
      };
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
    for (const provider of this.#providers) for (const { jobId } of await provider.list()) this.#open.set(jobId, provider);
    const ends = [...this.#open].map(async ([jobId, provider]) => this.#stop(provider, jobId).catch(() => this.#stop(provider, jobId)));
    const failed = (await Promise.allSettled(ends)).find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #stop(provider: SandboxProvider, jobId: string): Promise<void> {
    await provider.stop(jobId);
    this.#open.delete(jobId);
  }

  async #start(
    provider: SandboxProvider,
    ...[request, signal]: Parameters<SandboxProvider['start']>
  ): ReturnType<SandboxProvider['start']> {
    const closed = this.#closing.signal;
    closed.throwIfAborted();
    this.#open.set(request.jobId, provider);
    const starting = provider.start(request, signal === undefined ? closed : AbortSignal.any([closed, signal]));
    this.#starting.add(starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(starting);
    }
  }
}
