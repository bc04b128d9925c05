/** What is known of the money of a job, which its keys share; USD. */
export interface Funds {
  budgetUsd: number;
  spentUsd: number;
  /** Worst-case cost of its requests that are in flight on this replica. */
  reservedUsd: number;
}

export type AdmissionDecision = { do: 'run' } | { do: 'wait' } | { do: 'refuse' };

/**
 * Whether a request whose worst case is `estimateUsd` may start. Alone it runs as long as anything is left, so a budget can
 * be used up; beside others only where all of them fit. So a job overshoots by one request's cost a replica at most.
 */
export function decideAdmission({ budgetUsd, spentUsd, reservedUsd }: Funds, estimateUsd: number): AdmissionDecision {
  const leftUsd = budgetUsd - spentUsd;
  if (leftUsd <= 0) return { do: 'refuse' };
  if (reservedUsd === 0 || reservedUsd + estimateUsd <= leftUsd) return { do: 'run' };
  return { do: 'wait' };
}

/** Ends a reservation; `spentUsd` is what the job had spent once the request was recorded, null where that is not known. */
export type Release = (spentUsd: number | null) => void;

interface Account extends Funds {
  inFlight: number;
  waiting: Waiter[];
}

interface Waiter {
  estimateUsd: number;
  decide(decision: 'run' | 'refuse'): void;
}

/** Idle accounts kept: they only remember what was spent, against a look-up that was overtaken by a recording. */
const MAX_IDLE_ACCOUNTS = 10_000;

export type Admitted = { do: 'run'; release: Release } | { do: 'refuse' } | { do: 'leave' };

/** The requests of this replica that spend, by job; first come, first served. */
export class Admission {
  readonly #accounts = new Map<string, Account>();

  /** Resolves as soon as the request may run, or cannot; to `leave` where the signal is aborted first. Throws nothing. */
  async admit(jobId: string, funds: Omit<Funds, 'reservedUsd'>, estimateUsd: number, signal: AbortSignal): Promise<Admitted> {
    if (signal.aborted) return { do: 'leave' };
    const account = this.#account(jobId, funds);
    const decision = await queue(account, estimateUsd, signal);
    if (decision !== 'run') return { do: decision };
    return { do: 'run', release: once((spentUsd) => settle(account, estimateUsd, spentUsd)) };
  }

  #account(jobId: string, funds: Omit<Funds, 'reservedUsd'>): Account {
    const known = this.#accounts.get(jobId);
    if (known !== undefined) {
      known.spentUsd = Math.max(known.spentUsd, funds.spentUsd);
      known.budgetUsd = funds.budgetUsd;
      return known;
    }
    if (this.#accounts.size >= MAX_IDLE_ACCOUNTS) this.#forgetIdle();
    const account = { ...funds, reservedUsd: 0, inFlight: 0, waiting: [] };
    this.#accounts.set(jobId, account);
    return account;
  }

  #forgetIdle(): void {
    for (const [jobId, { inFlight, waiting }] of this.#accounts) {
      if (inFlight === 0 && waiting.length === 0) this.#accounts.delete(jobId);
    }
  }
}

/** Decides at once where it can: the queue is served in order, so a request behind others waits for its turn. */
function queue(account: Account, estimateUsd: number, signal: AbortSignal): Promise<'run' | 'refuse' | 'leave'> {
  return new Promise((resolve) => {
    const leave = (): void => {
      account.waiting = account.waiting.filter((other) => other !== waiter);
      resolve('leave');
      serveWaiting(account);
    };
    const waiter: Waiter = {
      estimateUsd,
      decide: (decision) => {
        signal.removeEventListener('abort', leave);
        resolve(decision);
      },
    };
    signal.addEventListener('abort', leave, { once: true });
    account.waiting.push(waiter);
    serveWaiting(account);
  });
}

function serveWaiting(account: Account): void {
  for (let next = account.waiting[0]; next !== undefined; next = account.waiting[0]) {
    const decision = decideAdmission(account, next.estimateUsd).do;
    if (decision === 'wait') return;
    account.waiting.shift();
    if (decision === 'run') {
      // Reserved here, not when the waiter wakes: the next in the queue is decided at once.
      account.inFlight += 1;
      account.reservedUsd += next.estimateUsd;
    }
    next.decide(decision);
  }
}

function settle(account: Account, estimateUsd: number, spentUsd: number | null): void {
  account.inFlight -= 1;
  // Set to 0, not subtracted to it: sums of fractions drift, and 0 means that nothing is in flight.
  account.reservedUsd = account.inFlight === 0 ? 0 : account.reservedUsd - estimateUsd;
  account.spentUsd = Math.max(account.spentUsd, spentUsd ?? 0);
  serveWaiting(account);
}

function once(release: Release): Release {
  let released = false;
  return (spentUsd) => {
    if (released) return;
    released = true;
    release(spentUsd);
  };
}
