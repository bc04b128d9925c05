import { CancellationScope } from '@temporalio/workflow';

import type { Rotated } from '../contract/requests.ts';

export interface RotationActions {
  /** Mints the next key; the job goes on with it from then on. */
  mint(): Promise<Rotated>;
  /** Puts it where the agent adopts it, and ends the one before. */
  adopt(): Promise<void>;
}

/** The rotations of a job's key, one at a time. */
export class Rotation {
  readonly #actions: RotationActions;
  #scope: CancellationScope | null = null;
  #minting: Promise<Rotated> | null = null;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(actions: RotationActions) {
    this.#actions = actions;
  }

  /** Resolves to the next key once it is minted; while a rotation runs, to that one's. */
  request(): Promise<Rotated> {
    if (this.#minting !== null) return this.#minting;
    const scope = (this.#scope ??= new CancellationScope());
    const minting = scope.run(() => this.#actions.mint());
    this.#minting = minting;
    this.#running = minting
      .then(() => scope.run(() => this.#actions.adopt()))
      // A mint that failed leaves the key as it was; what else fails is ended with the job, or by the sweep.
      .catch(() => undefined)
      .finally(() => (this.#minting = this.#running = null));
    return minting;
  }

  /** No rotation runs. */
  get isIdle(): boolean {
    return this.#running === null;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Nothing of a rotation goes on beside the cleanupActivities, which would not know of its key. Null where none runs. */
  stop(): Promise<void> | null {
    this.#stopped = true;
    this.#scope?.cancel();
    return this.#running;
  }
}
