import { CancellationScope } from '@temporalio/workflow';

import type { Rotated } from '../job/requests.ts';

export interface RotationSteps {
  /** Mints the next key; the job goes on with it from then on. */
  mint(): Promise<Rotated>;
  /** Puts it where the agent takes it up, and ends the one before. */
  takeUp(): Promise<void>;
}

/** The rotations of a job's key, one at a time. */
export class Rotation {
  readonly #steps: RotationSteps;
  readonly #scope = new CancellationScope();
  #minting: Promise<Rotated> | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(steps: RotationSteps) {
    this.#steps = steps;
  }

  /** Resolves to the next key once it is minted; while a rotation runs, to that one's. */
  request(): Promise<Rotated> {
    if (this.#minting !== null) return this.#minting;
    const minting = this.#scope.run(() => this.#steps.mint());
    this.#minting = minting;
    this.#running = minting
      .then(() => this.#scope.run(() => this.#steps.takeUp()))
      // A mint that failed leaves the key as it was; what else fails is ended with the job, or by the sweep.
      .catch(() => undefined)
      .finally(() => (this.#minting = null));
    return minting;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Nothing of a rotation goes on beside the cleanup, which would not know of its key. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#scope.cancel();
    await this.#running;
  }
}
