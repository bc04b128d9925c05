import type { JobCredential } from '../contract/credential.ts';
import type { GatewayName } from '../contract/gateway-name.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { PromptRef } from '../contract/requests.ts';
import type { JobFailure, Outcome, ArtifactInfo, PushReport, SettledJob } from '../contract/result.ts';
import type { EndedKeys, RevokeTarget } from '../contract/revocation.ts';
import type { RotationReport } from '../contract/rotation.ts';
import type { SandboxProviderName } from '../contract/sandbox-provider.ts';
import type { AgentName, JobSpec } from '../contract/spec.ts';
import type { AnsweredQuestion, PermissionDecision, Question } from '../contract/status.ts';
import type { SweepReport } from '../contract/sweep.ts';
import type { WorkspaceReport } from '../contract/workspace-report.ts';
import type { SandboxHandle } from '../sandboxes/sandbox.ts';
import type { SessionState } from '../session/turn/state.ts';
import type { LossFacts } from './decide-restore.ts';

/** The job that a step belongs to, and its tenant. */
export interface JobIdentity {
  jobId: string;
  tenant: string;
}

export interface KeyInput extends JobIdentity {
  ref: KeyRef;
  generation: number;
  gateway: GatewayName;
}

export interface MintKeyInput extends KeyInput {
  /** USD. */
  budgetUsd: number;
  model: string;
  agent: AgentName;
  credential: JobCredential;
  /** ISO 8601, after the job's deadline: the key expires then at the latest, whatever its lease. */
  hardExpiresAt: string;
}

export interface StartSandboxInput extends JobIdentity {
  agent: AgentName;
  model: string;
  sandbox: JobSpec['sandbox'];
  workspace: JobSpec['workspace'];
  /** The id of the lost sandbox in whose place it starts: that one is ended where it can be. */
  replaces?: string;
  /** The stored start of the workspace, of a job that continues in another sandbox. */
  startCommit?: string;
  /** The job's deadline, ISO 8601; absent where an older workflow scheduled the step. */
  deadline?: string;
}

export interface StartedSandbox {
  handle: SandboxHandle;
  /** The commit that the workspace started from; the patch is the difference to it. */
  startCommit: string;
}

export interface PrepareWorkspaceInput extends JobIdentity {
  started: StartedSandbox;
  /** The commands, in order. */
  setup: readonly string[];
  /** The sealed tool secrets, which the output of the commands may contain. */
  secrets: JobSpec['sandbox']['secrets'];
  /** The limit in ms for all commands together, from when the step was scheduled. */
  timeoutMs: number;
}

export interface RestoreCheckpointInput extends JobIdentity {
  started: StartedSandbox;
  /** The turn of the checkpoint; 0: the state from which the job began. */
  turn: number;
}

/** What a job continues from that continues another one. */
export interface ContinuedCheckpoint {
  startCommit: string;
  session: SessionState;
}

export interface GiveUpSandboxInput extends JobIdentity, Pick<LossFacts, 'onInterrupted' | 'endedTurns' | 'losses' | 'continues'> {
  /** The id of the lost sandbox. */
  sandbox: string;
  /** The turn that ran in it; null between turns. */
  turn: number | null;
}

export interface RunSessionInput extends KeyInput {
  agent: AgentName;
  model: string;
  handle: SandboxHandle;
  /** The number of the turn within its job, from 1. */
  turn: number;
  prompt: PromptRef;
  /** The session's state after the previous turn; null in the first turn. */
  session: SessionState | null;
  permissions: JobSpec['permissions'];
  instructions?: PromptRef | undefined;
  mcpServers?: JobSpec['mcpServers'];
  /** The sealed tool secrets, which are masked in the turn's events. */
  secrets?: JobSpec['sandbox']['secrets'];
  onInterrupted: JobSpec['onInterrupted'];
  /** The turn ends as `stalled` after so many ms without a message of the agent. */
  stallMs: number;
  /** The commit that the workspace started from, to store a checkpoint after the turn. Absent: none is stored. */
  startCommit?: string;
  /** The answer to the question that the agent waits for; null when it waits for none. Earlier answers are in the store. */
  answer: Answer | null;
  /** Whether to interrupt the turn as soon as it runs. */
  interrupt: boolean;
  /** The question at which the job hibernated in the middle of this turn: in this sandbox the agent is asked to go on from there. */
  resumes?: AnsweredQuestion;
}

export interface StoreCheckpointInput extends JobIdentity {
  agent: AgentName;
  handle: SandboxHandle;
  startCommit: string;
  /** The turn that waits. */
  turn: number;
  /** The question that it waits at. */
  question: Question;
  /** The session's state in the turn. */
  session: SessionState;
}

/** The decision about a question. */
export interface Answer extends PermissionDecision {
  question: string;
}

export interface RunSessionResult {
  /** Null when the turn waits for the answer to `question`. The agent's messages are in the store. */
  stopReason: string | null;
  question: Question | null;
  /** Null when no session is open yet. */
  session: SessionState | null;
  /** USD spent by the job's keys so far. */
  spentUsd: number;
  /** Whether the checkpoint of the turn holds all that the agent changed. Absent where none was stored. */
  checkpointComplete?: boolean;
}

export interface RebindKeyInput extends JobIdentity {
  agent: AgentName;
  model: string;
  handle: SandboxHandle;
  permissions: JobSpec['permissions'];
  instructions?: PromptRef | undefined;
  mcpServers?: JobSpec['mcpServers'];
  /** The older key, which the caller ends afterwards. */
  replaces: KeyRef;
}

export interface RevokeKeyInput extends KeyInput {
  cause: 'job' | 'rotated';
}

export interface StopSandboxInput extends JobIdentity {
  provider: SandboxProviderName;
  /** Null when the start returned no result: then there is nothing to collect, and the sandbox is ended by the job's id. */
  started: StartedSandbox | null;
  /** Paths of files to collect, relative to the workspace. */
  artifacts: readonly string[];
  /** The last turn that ended with a stop reason, whose message becomes an artifact; 0 when there is none. */
  lastTurn: number;
}

export interface AbandonSandboxInput extends JobIdentity {
  /** The id of the sandbox. */
  sandbox: string;
  /** See `StopSandboxInput`. */
  lastTurn: number;
}

export interface StoppedSandbox {
  artifacts: ArtifactInfo[];
  workspace: WorkspaceReport;
}

export interface PushBranchInput extends JobIdentity {
  /** URL of the repository that the workspace came from. */
  git: string;
  branch: string;
  /** Sealed; absent: the server wants none. */
  token?: string;
  /** The commit that the workspace started from: the parent of the one that is pushed. */
  startCommit: string;
  /** The date of the commit, ISO 8601: each attempt makes the same one. */
  committedAt: string;
}

export interface SettleUsageInput extends JobIdentity {
  leaseId: string;
  agent: AgentName;
  outcome: Outcome;
  failure: JobFailure | null;
  /** The number of turns that ended with a stop reason; their results are in the store. */
  turns: number;
  artifacts: ArtifactInfo[];
  sandboxLost: boolean;
  workspace: WorkspaceReport;
  /** Absent where an older workflow scheduled the step. */
  push?: PushReport | null;
  /** ISO 8601. */
  startedAt: string;
}

/** The activities of the workflows. Each is idempotent: Temporal may run it again at any moment. */
export interface Activities {
  mintKey(input: MintKeyInput): Promise<void>;
  /** Starts the sandbox and copies the workspace into it. */
  startSandbox(input: StartSandboxInput): Promise<StartedSandbox>;
  /** Runs the job's setup commands; the workspace after them is the one that the agent starts from. */
  prepareWorkspace(input: PrepareWorkspaceInput): Promise<void>;
  /** Reads the checkpoint that was copied for a job that continues another one. */
  loadCheckpoint(input: JobIdentity): Promise<ContinuedCheckpoint>;
  /** Brings a new sandbox, after its setup, to the state of the job’s last checkpoint. */
  restoreCheckpoint(input: RestoreCheckpointInput): Promise<void>;
  /**
   * Stores the state of a sandbox whose agent waits for an answer. Resolves to whether another sandbox can go on from there with nothing lost: the
   * agent can load its session, waits at this question alone, and all that it changed is in the checkpoint.
   */
  storeCheckpoint(input: StoreCheckpointInput): Promise<boolean>;
  /**
   * Gives up a lost sandbox for another one, so that its host ends it when it returns. Resolves to the turn after which the other one continues
   * (0: the start of the job), and to null where the job cannot continue: then the files of the lost one may still be collected.
   */
  giveUpSandbox(input: GiveUpSandboxInput): Promise<number | null>;
  /**
   * Runs one turn, or continues it where another worker stopped. Also resolves when the turn waits for an answer; the workflow then runs it
   * again with that answer. A cancellation ends the turn, and the details of the failure hold the result.
   */
  runSession(input: RunSessionInput): Promise<RunSessionResult>;
  /**
   * Writes the job's newest key into its running sandbox, and waits until the older key can be ended without loss. Resolves to false, and
   * writes nothing, for an agent that adopts a key only in a new process.
   */
  rebindKey(input: RebindKeyInput): Promise<boolean>;
  /** Stops the agent, collects its artifacts as far as possible, and ends the sandbox. */
  stopSandbox(input: StopSandboxInput): Promise<StoppedSandbox>;
  /**
   * Gives up a sandbox whose host is lost: the ledger records that, so that the host ends the sandbox when it returns. Resolves to the
   * artifacts that were collected before. Idempotent.
   */
  abandonSandbox(input: AbandonSandboxInput): Promise<ArtifactInfo[]>;
  /**
   * Pushes the patch of a job, which is among its artifacts, as one commit on the start. Idempotent: a branch that holds that commit was pushed
   * before. What cannot be pushed is in the report; what another attempt may fix is retried some times.
   */
  pushBranch(input: PushBranchInput): Promise<PushReport>;
  /** Makes the job's running steps check at once whether they have to stop. */
  announceStop(input: { jobId: string }): Promise<void>;
  /** Ends the key; with the cause `job` also every other key that the job still has. */
  revokeKey(input: RevokeKeyInput): Promise<void>;
  settleUsage(input: SettleUsageInput): Promise<SettledJob>;
  /** Ends the keys that a revocation has disabled. Failures are in the result. */
  endKeys(input: RevokeTarget): Promise<EndedKeys>;
  /** Sweeps closed jobs that still have keys. Like the other sweeps it reports failures in its result and throws nothing. */
  sweepJobs(input: { dryRun: boolean }): Promise<SweepReport[]>;
  /** Sweeps the keys of the ledger and the gateways by Temporal's record of their jobs. */
  sweepKeys(input: { dryRun: boolean }): Promise<SweepReport[]>;
  /** Sweeps the sandboxes that the worker running this step can end. */
  sweepSandboxes(input: { dryRun: boolean }): Promise<SweepReport[]>;
  /** Requests a rotation from each running job whose key is older than that. Reports failures in its result and throws nothing. */
  rotateOldKeys(input: { olderThanMs: number }): Promise<RotationReport>;
  /** Returns the task queues on which `sweepSandboxes` has to run. */
  findHosts(): Promise<string[]>;
}
