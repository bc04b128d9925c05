import type { FailureCode } from './errors.ts';
import type { KeyRef } from './ref.ts';
import type { AgentName } from './spec.ts';
import type { WorkspaceReport } from './workspace-report.ts';

/** How a job can end. */
export type Outcome = (typeof OUTCOMES)[number];

/** Every way in which a job can end. */
export const OUTCOMES = ['completed', 'failed', 'cancelled', 'deadline_exceeded'] as const;

/** The usage of the job's keys, as the gateway recorded it from the provider's figures. */
export interface Usage {
  /** All input tokens, those read from and written to a cache included. */
  inputTokens: number;
  /** Output tokens, thinking included. */
  outputTokens: number;
  /** Requests to the provider. */
  requests: number;
  /** USD, rounded to 1e-12. */
  usd: number;
}

/** The life of a key. Each time is an ISO 8601 instant, null when the event did not happen. */
export interface KeyLife {
  /** Names the key: `<job>/<lease>/<generation>`. */
  ref: KeyRef;
  /** The gateway made it. */
  mintedAt: string | null;
  /** It was written into the sandbox. */
  boundAt: string | null;
  /** Its first request came. */
  firstUsedAt: string | null;
  /** The control plane accepted its end. */
  disabledAt: string | null;
  /** A request made with it was refused by the data plane. */
  revokedAt: string | null;
}

/** One prompt that was answered. */
export interface TurnResult {
  /** Why the turn ended: `end_turn`, `cancelled`, `max_tokens`, `refusal` and others. */
  stopReason: string;
  /** The agent's text of the turn, cut to 4 KiB: the whole is in the events. */
  message: string;
}

/** Why a job failed, or the push of its work. */
export interface JobFailure {
  /** Stable: what a program can rely on. */
  code: FailureCode;
  /** What happened, for a person. */
  message: string;
}

/** What became of the branch that a job pushes. */
export interface PushReport {
  /** Name of the branch. */
  branch: string;
  /** Id of the commit that the branch holds; null: nothing was pushed. */
  commit: string | null;
  /** Why nothing was pushed; null where the commit was, and where the agent changed nothing. */
  failure: JobFailure | null;
}

/** The description of a stored artifact. */
export interface ArtifactInfo {
  /** `patch`, `message`, or `files/<path>`. */
  name: string;
  /** Size in bytes. */
  bytes: number;
  /** SHA-256 of the content, hex. */
  sha256: string;
}

/** An artifact with its content. */
export interface Artifact extends ArtifactInfo {
  /** Its bytes. */
  content: Buffer;
}

/** The part of a job's result that Temporal holds; the complete result is in the store. */
export interface SettledJob {
  /** How the job ended. */
  outcome: Outcome;
  /** The number of turns that ended with a stop reason. */
  turns: number;
  /** What it cost. */
  usage: Usage;
  /** ISO 8601. */
  endedAt: string;
}

/** How a job ended and what it cost. */
export interface JobResult {
  /** Id of the job. */
  jobId: string;
  /** Whom the job ran for. */
  tenant: string;
  /** The agent that ran. */
  agent: AgentName;
  /** How the job ended. */
  outcome: Outcome;
  /** Null when the outcome is `completed`. */
  failure: JobFailure | null;
  /** The prompts that were answered, in order. */
  turns: TurnResult[];
  /** What the job cost, all its keys together. */
  usage: Usage;
  /** Life of each of its keys, the oldest first. */
  keys: KeyLife[];
  /** What was collected: `jobs.artifact` reads the content. */
  artifacts: ArtifactInfo[];
  /** The host of the sandbox was lost before the artifacts were collected: work that is not among them is lost. */
  sandboxLost: boolean;
  /** Whether everything in the workspace was collected, and what was not. */
  workspace: WorkspaceReport;
  /** What became of the branch of `workspace.push`; null where the job has none. */
  push: PushReport | null;
  /** ISO 8601. */
  startedAt: string;
  /** ISO 8601. */
  endedAt: string;
}
