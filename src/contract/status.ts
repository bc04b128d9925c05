import type { KeyState } from './key.ts';
import type { Outcome } from './result.ts';

/** The step that a job is in. */
export type Phase = 'starting' | 'running' | 'waiting' | 'ending' | 'settling' | 'ended';

/** What the agent asks leave for. */
export interface Question {
  /** Names the question within its job. */
  id: string;
  turn: number;
  title: string;
  /** ACP's kind of the tool: `edit`, `execute` and others. */
  kind: string | null;
}

export interface PermissionDecision {
  answer: 'allow' | 'deny';
  by: 'policy' | 'user' | 'timeout';
}

/** What the workflow knows of its job, answered to the query `status`. */
export interface JobProgress {
  phase: Phase;
  /** Null until the phase is `ending`. */
  outcome: Outcome | null;
  ref: string;
  /** `disabled` and `stuck`: its end failed once, or five times. */
  keyState: KeyState;
  sandbox: string | null;
  /** The turn that runs or ran last, from 1; 0 before the first. */
  turn: number;
  turns: number;
  /** Open, under the policy `ask`; it is denied at `until` (ISO 8601). */
  question: (Question & { until: string }) | null;
  /** USD up to the end of the last turn. */
  spentUsd: number;
  /** ISO 8601. */
  deadline: string;
}

export const STATUS_QUERY = 'status';
export const JOB_WORKFLOW = 'sandboxJob';
