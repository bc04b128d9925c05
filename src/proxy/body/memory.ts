/** Limits on the bytes that request bodies hold at the same time. */
export interface BodyMemoryLimits {
  totalBytes: number;
  bytesPerKey: number;
}

/** The memory that one request holds. */
export interface HeldBytes {
  /** Takes more memory; false where a limit does not allow it. */
  grow(bytes: number): boolean;
  /** Releases all of it. */
  release(): void;
}

/** The largest share of the total that one tenant may hold. */
const MAX_TENANT_SHARE = 0.5;

/** Limits the memory that request bodies hold: in total, per tenant and per key. */
export class BodyMemory {
  readonly #limits: BodyMemoryLimits;
  readonly #byKey = new Map<string, number>();
  readonly #byTenant = new Map<string, number>();
  #total = 0;

  constructor(limits: BodyMemoryLimits) {
    this.#limits = limits;
  }

  /** Opens the account of one request. */
  hold(ref: string, tenant: string): HeldBytes {
    let held = 0;
    return {
      grow: (bytes) => {
        const ofKey = this.#byKey.get(ref) ?? 0;
        const ofTenant = this.#byTenant.get(tenant) ?? 0;
        if (this.#total + bytes > this.#limits.totalBytes || ofKey + bytes > this.#limits.bytesPerKey) return false;
        if (ofTenant + bytes > this.#limits.totalBytes * MAX_TENANT_SHARE) return false;
        this.#total += bytes;
        this.#byTenant.set(tenant, ofTenant + bytes);
        this.#byKey.set(ref, ofKey + bytes);
        held += bytes;
        return true;
      },
      release: () => {
        subtract(this.#byKey, ref, held);
        subtract(this.#byTenant, tenant, held);
        this.#total -= held;
        held = 0;
      },
    };
  }
}

function subtract(held: Map<string, number>, name: string, bytes: number): void {
  const left = (held.get(name) ?? 0) - bytes;
  if (left > 0) held.set(name, left);
  else held.delete(name);
}
