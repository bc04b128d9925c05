import type { Outcome } from './result.ts';

/** The step that a job is in. */
export type Phase = 'starting' | 'running' | 'ending' | 'settling' | 'ended';

/** What the workflow knows of its job, answered to the query `status`. */
export interface JobProgress {
  phase: Phase;
  /** Null until the phase is `ending`. */
  outcome: Outcome | null;
  ref: string;
  keyState: 'minting' | 'live' | 'dead';
  sandbox: string | null;
  /** The turn that runs or ran last, from 1; 0 before the first. */
  turn: number;
  turns: number;
  /** USD up to the end of the last turn. */
  spentUsd: number;
  /** ISO 8601. */
  deadline: string;
}

export const STATUS_QUERY = 'status';
export const JOB_WORKFLOW = 'sandboxJob';
