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

/** Of the total, the share that one tenant may hold. */
const TENANT_SHARE = 0.5;

/** Bounds what the bodies of requests hold in memory, in total and by key. */
export class BodyMemory {
  readonly #limits: BodyMemoryLimits;
  readonly #byKey = new Map<string, number>();
  readonly #byTenant = new Map<string, number>();
  #total = 0;

  constructor(limits: BodyMemoryLimits) {
    this.#limits = limits;
  }

  /** Opens an account for one request of a key. */
  hold(ref: string, tenant: string): HeldBytes {
    let held = 0;
    return {
      grow: (bytes) => {
        const ofKey = this.#byKey.get(ref) ?? 0;
        const ofTenant = this.#byTenant.get(tenant) ?? 0;
        if (this.#total + bytes > this.#limits.totalBytes || ofKey + bytes > this.#limits.bytesPerKey) return false;
        if (ofTenant + bytes > this.#limits.totalBytes * TENANT_SHARE) return false;
        this.#total += bytes;
        this.#byTenant.set(tenant, ofTenant + bytes);
        this.#byKey.set(ref, ofKey + bytes);
        held += bytes;
        return true;
      },
      release: () => {
        giveBack(this.#byKey, ref, held);
        giveBack(this.#byTenant, tenant, held);
        this.#total -= held;
        held = 0;
      },
    };
  }
}

function giveBack(held: Map<string, number>, name: string, bytes: number): void {
  const left = (held.get(name) ?? 0) - bytes;
  if (left > 0) held.set(name, left);
  else held.delete(name);
}
