import type { FailureCode } from './errors.ts';
import type { KeyRef } from './ref.ts';
import type { WorkspaceReport } from './workspace-report.ts';

/** How a job can end. */
export type Outcome = 'completed' | 'failed' | 'cancelled' | 'deadline_exceeded';

/** The usage of the job's keys, as the gateway recorded it from the provider's figures. */
export interface Usage {
  /** All input tokens, those read from and written to a cache included. */
  inputTokens: number;
  outputTokens: number;
  requests: number;
  /** USD, rounded to 1e-12. */
  usd: number;
}

/** The life of a key. Each time is an ISO 8601 instant, null when the event did not happen. */
export interface KeyLife {
  ref: KeyRef;
  mintedAt: string | null;
  boundAt: string | null;
  firstUsedAt: string | null;
  /** The control plane accepted its end. */
  disabledAt: string | null;
  /** A request made with it was refused by the data plane. */
  revokedAt: string | null;
}

/** One prompt that was answered. */
export interface TurnResult {
  stopReason: string;
  /** The agent's text of the turn, cut to 4 KiB: the whole is in the events. */
  message: string;
}

export interface JobFailure {
  code: FailureCode;
  message: string;
}

/** The description of a stored artifact. */
export interface ArtifactInfo {
  name: string;
  bytes: number;
  /** Hex. */
  sha256: string;
}

/** The part of a job's result that Temporal holds; the complete result is in the store. */
export interface SettledJob {
  outcome: Outcome;
  /** The number of turns that ended with a stop reason. */
  turns: number;
  usage: Usage;
  endedAt: string;
}

/** How a job ended and what it cost. */
export interface JobResult {
  jobId: string;
  tenant: string;
  agent: string;
  outcome: Outcome;
  /** Null when the outcome is `completed`. */
  failure: JobFailure | null;
  turns: TurnResult[];
  usage: Usage;
  keys: KeyLife[];
  artifacts: ArtifactInfo[];
  /** The host of the sandbox was lost before the artifacts were collected: work that is not among them is lost. */
  sandboxLost: boolean;
  /** Whether everything in the workspace was collected, and what was not. */
  workspace: WorkspaceReport;
  startedAt: string;
  endedAt: string;
}
