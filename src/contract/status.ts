import type { KeyState } from './key.ts';
import type { JobFailure, Outcome } from './result.ts';

/** The step that a job is in. */
export type Phase = 'starting' | 'running' | 'waiting' | 'hibernated' | 'ending' | 'settling' | 'ended';

/** What the agent requests permission for, as far as Temporal holds it. */
export interface Question {
  /** Names the question within its job. */
  id: string;
  /** The turn in which it was asked, from 1. */
  turn: number;
  /** What it is about, for a person. */
  title: string;
  /** ACP's kind of the tool: `edit`, `execute` and others. */
  kind: string | null;
}

/** What a question is about. Temporal does not hold it: it is in the event `permission.asked`. */
export interface QuestionSubject {
  /** The `id` of the `tool` events that the question is about; null: the agent names none. */
  toolCall: string | null;
  /** The command or the diff, at most 8 KiB; null: the agent shows none. */
  details: string | null;
}

export interface PermissionDecision {
  answer: 'allow' | 'deny';
  by: 'policy' | 'user' | 'timeout';
}

/** A question and what was decided. */
export interface AnsweredQuestion {
  question: Question;
  answer: PermissionDecision['answer'];
}

/** A question that the job waits at. */
export interface OpenedQuestion extends Question {
  /** ISO 8601: it is denied then. */
  until: string;
}

/** What the workflow knows of its job, answered to the query `status`. */
export interface JobProgress {
  phase: Phase;
  /** Null until the phase is `ending`. */
  outcome: Outcome | null;
  /** Why it ends; null until the phase is `ending`, and where the outcome is `completed`. */
  failure: JobFailure | null;
  ref: string;
  /** `disabled` and `stuck`: its end failed once, or five times. */
  keyState: KeyState;
  sandbox: string | null;
  /** The turn that runs or ran last, from 1; 0 before the first. */
  turn: number;
  turns: number;
  /** Open, under the policy `ask`; it is denied at `until` (ISO 8601). */
  question: OpenedQuestion | null;
  /** USD, up to the last question or the end of the last turn. */
  spentUsd: number;
  /** ISO 8601. */
  deadline: string;
}

export const STATUS_QUERY = 'status';
export const JOB_WORKFLOW = 'sandboxJob';
