/** Bytes that bodies may hold at once. */
export interface BodyMemoryLimits {
  totalBytes: number;
  bytesPerKey: number;
}

/** What one request holds; `release` gives it all back. */
export interface HeldBytes {
  /** False where a limit does not let it grow. */
  grow(bytes: number): boolean;
  release(): void;
}

/** Bounds what the bodies of requests hold in memory, in total and by key. */
export class BodyMemory {
  readonly #limits: BodyMemoryLimits;
  readonly #byKey = new Map<string, number>();
  #total = 0;

  constructor(limits: BodyMemoryLimits) {
    this.#limits = limits;
  }

  /** Opens an account for one request of a key. */
  hold(ref: string): HeldBytes {
    let held = 0;
    return {
      grow: (bytes) => {
        const ofKey = this.#byKey.get(ref) ?? 0;
        if (this.#total + bytes > this.#limits.totalBytes || ofKey + bytes > this.#limits.bytesPerKey) return false;
        this.#total += bytes;
        this.#byKey.set(ref, ofKey + bytes);
        held += bytes;
        return true;
      },
      release: () => {
        const left = (this.#byKey.get(ref) ?? 0) - held;
        if (left > 0) this.#byKey.set(ref, left);
        else this.#byKey.delete(ref);
        this.#total -= held;
        held = 0;
      },
    };
  }
}
