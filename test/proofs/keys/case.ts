/** What ended a job: the bounds are stated for each. */
export const CAUSES = ['clean', 'cancelled', 'deadline', 'terminated', 'reset', 'worker_killed', 'all_down', 'fault'] as const;
export type Cause = (typeof CAUSES)[number];

/** One job, and what became of its keys. */
export interface CaseReport {
  name: string;
  cause: Cause;
  /** Keys that the gateway still accepted when their time was up, and uses after the end of the job that it accepted. */
  orphans: number;
  /** Keys beyond one for a generation of the job. */
  doubles: number;
  /** Keys that were ended as orphans while their job ran. */
  sweptLive: number;
  /** From the moment from which the key should be dead to the one at which it was; null where there is none. */
  secondsToDead: number | null;
  /** For a person. */
  complaints: string[];
}

/** ms that a key may go on living, by what ended its job. */
export const BOUND_MS: Record<Cause, number> = {
  clean: 5_000,
  cancelled: 5_000,
  deadline: 5_000,
  terminated: 10_000,
  reset: 10_000,
  worker_killed: 60_000,
  all_down: 120_000,
  fault: 120_000,
};
