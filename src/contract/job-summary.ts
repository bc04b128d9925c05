import type { FailureCode } from './errors.ts';
import type { KeyState } from './key.ts';
import type { Labels } from './labels.ts';
import type { JobFailure, KeyLife, Outcome, PushReport } from './result.ts';
import type { AgentName } from './spec.ts';
import type { JobProgress, Phase, Question, QuestionSubject } from './status.ts';

/** State of a job: `running`, how it ended, or `terminated` where Temporal ended its workflow without its cleanup. */
export type JobState = 'running' | Outcome | 'terminated';

/** A job in a list. */
export interface JobSummary {
  /** Id of the job, and of its workflow in Temporal. */
  jobId: string;
  /** Task queue that the job was submitted to. */
  taskQueue: string;
  /** Whom the job runs for. */
  tenant: string;
  /** The agent that the job runs; null for one that this version does not know. */
  agent: AgentName | null;
  /** Labels of its spec. */
  labels: Labels;
  /** `running`, how it ended, or `terminated`. */
  state: JobState;
  /** Why it ended so; null where it runs, has completed, or was not settled. */
  failureCode: FailureCode | null;
  /** State of the job's newest key; null where none was minted. */
  keyState: KeyState | null;
  /** USD, up to now. */
  spentUsd: number;
  /** Whether its agent waits for an answer, by Temporal's visibility. */
  waiting: boolean;
  /** ISO 8601. */
  startedAt: string;
  /** ISO 8601; null while it runs. */
  endedAt: string | null;
  /** Why the job is stuck: its workflow task fails again and again, in Temporal's words. Empty: it is not. */
  problems: string[];
}

/** Status of one job. */
export interface JobStatus extends JobSummary {
  /** The step that the job is in; null where no worker answered. */
  phase: Phase | null;
  /** The task queue that the job waits on, where no worker polls it; null: one does. */
  unattendedQueue: string | null;
  /** The current turn, or the last one, from 1; 0 before the first; null where no worker answered. */
  turn: number | null;
  /** How many turns the job has been given; null where no worker answered. */
  turns: number | null;
  /** ISO 8601; null where no worker answered. */
  deadline: string | null;
  /** Id of its sandbox; null where it has none. */
  sandbox: string | null;
  /** What the agent requests permission for; null: nothing. */
  question: WaitingQuestion | null;
  /** Why it failed; null where it runs or has completed. */
  failure: JobFailure | null;
  /** What became of the branch that it pushes; null where it runs, or pushes none. */
  push: PushReport | null;
  /** Life of each of its keys, the oldest first. */
  keys: KeyLife[];
}

/** The question that a job waits at, with what it is about; it is denied at `until` (ISO 8601). */
export type WaitingQuestion = NonNullable<JobProgress['question']> & QuestionSubject;

/** An open question with what it is about, as the store has it. */
export interface StoredQuestion extends Question, QuestionSubject {
  /** Id of the job: `jobs.answer` takes it, and `id`. */
  jobId: string;
  /** ISO 8601. */
  askedAt: string;
}

/** An open question of a job's agent, as an inbox shows it. */
export interface OpenQuestion extends StoredQuestion {
  /** Whom the job runs for. */
  tenant: string;
  /** The agent that asks; null for one that this version does not know. */
  agent: AgentName | null;
}
