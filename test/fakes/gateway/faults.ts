/** What a gateway is asked for, and a request that only tries a key. */
export const CALLS = ['mint', 'extend', 'disable', 'probe', 'spend', 'delete', 'list'] as const;
export type Call = (typeof CALLS)[number];

type When = 'before' | 'after';

/** What goes wrong with one call; `when`: before or after it was done. */
export type Fault =
  | { is: 'lost'; when: When }
  | { is: 'status'; status: number; when: When; retryAfterS?: number }
  /** Done; the connection breaks in the midst of the answer. */
  | { is: 'torn' }
  /** `before`: it is done all the same, when the time has passed. */
  | { is: 'slow'; ms: number; when: When }
  /** Done; the answer is no JSON. */
  | { is: 'malformed' }
  /** Acknowledged and not done. */
  | { is: 'ignored' }
  /** Of `mint`, `extend` and `list`: done by a server whose clock is off. */
  | { is: 'clock'; offMs: number }
  /** Of `disable`: the data plane goes on accepting the key for so long. */
  | { is: 'cached'; ms: number }
  /** Of `list`: its first page is the last; each key is there only every other time; what was deleted is there, too. */
  | { is: 'partial' }
  | { is: 'flapping' }
  | { is: 'stale' };

interface Armed<C> {
  call: C;
  fault: Fault;
  jobId: string | null;
  left: number;
}

/** The faults that are to come; `C`: the calls of a fake whose gateway has others. */
export class Faults<C extends string = Call> {
  #armed: Armed<C>[] = [];

  /**
   * Has the next `times` calls fail (default: all), those about keys of one job where one is named. Returns what lifts the fault
   * again.
   */
  arm(call: C, fault: Fault, { jobId = null, times = Infinity }: { jobId?: string | null; times?: number } = {}): () => void {
    const armed = { call, fault, jobId, left: times };
    this.#armed.push(armed);
    return () => {
      this.#armed = this.#armed.filter((other) => other !== armed);
    };
  }

  /** The fault of this call, and uses it up. */
  take(call: C, jobId: string | null): Fault | null {
    const armed = this.#armed.find((fault) => fault.call === call && fault.left > 0 && (fault.jobId === null || fault.jobId === jobId));
    if (armed === undefined) return null;
    armed.left -= 1;
    return armed.fault;
  }
}
