/** One request of a key, from its first try to its end. */
export interface BudgetHolder {
  /**
   * Waits for another request of the key to end, then calls `resume`. Returns false, and never calls it, where no other one may be with the
   * gateway.
   */
  waitForOthers(resume: () => void): boolean;
  /** Ends the request: those that wait resume. Idempotent. */
  leave(): void;
}

interface KeyRequests {
  /** May be with the gateway, and may hold a part of the key's budget there. */
  running: Set<object>;
  waiting: Set<() => void>;
}

/**
 * The requests of each key that may hold a part of its budget at its gateway. LiteLLM reserves the worst case of a request before it calls
 * the model, at most all that is left, and refuses the others meanwhile as if the budget were spent (1.106.12): so a refusal while another
 * request runs says nothing, and however long that one takes, retries would run out. The sandbox of a job reaches one proxy, so the
 * requests of this process are all that there are.
 *
 * Of several requests that were refused together the last one does not wait but retries: whoever waits always waits for one that runs.
 */
export class BudgetHolders {
  readonly #byRef = new Map<string, KeyRequests>();

  join(ref: string): BudgetHolder {
    const requests = this.#byRef.get(ref) ?? { running: new Set(), waiting: new Set() };
    this.#byRef.set(ref, requests);
    const { running, waiting } = requests;
    const self = {};
    let wake: (() => void) | null = null;
    running.add(self);
    return {
      waitForOthers: (resume) => {
        if (running.size === 1 || !running.delete(self)) return false;
        wake = () => {
          wake = null;
          running.add(self);
          resume();
        };
        waiting.add(wake);
        return true;
      },
      leave: () => {
        if (wake !== null) waiting.delete(wake);
        if (running.delete(self)) {
          const woken = [...waiting];
          waiting.clear();
          for (const wakeOther of woken) wakeOther();
        }
        if (running.size === 0 && this.#byRef.get(ref) === requests) this.#byRef.delete(ref);
      },
    };
  }
}
