import type { KeyRef } from '../contract/ref.ts';
import type { PromptRef } from '../contract/requests.ts';
import type { JobFailure, Outcome, ArtifactInfo, SettledJob } from '../contract/result.ts';
import type { EndedKeys, RevokeTarget } from '../contract/revocation.ts';
import type { RotationReport } from '../contract/rotation.ts';
import type { AgentName, GatewayName, JobSpec, SandboxProviderName } from '../contract/spec.ts';
import type { PermissionDecision, Question } from '../contract/status.ts';
import type { SweepReport } from '../contract/sweep.ts';
import type { WorkspaceReport } from '../contract/workspace-report.ts';
import type { SandboxHandle } from '../sandboxes/sandbox.ts';
import type { SessionState } from '../session/turn/state.ts';

/** Whose step it is. */
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
  /** ISO 8601, after the job's deadline: the key is dead from then on, whatever its lease. */
  hardExpiresAt: string;
}

export interface StartSandboxInput extends JobIdentity {
  agent: AgentName;
  model: string;
  sandbox: JobSpec['sandbox'];
  workspace: JobSpec['workspace'];
}

export interface StartedSandbox {
  handle: SandboxHandle;
  /** The commit that the workspace started from: what the patch is taken against. */
  startCommit: string;
}

export interface PrepareWorkspaceInput extends JobIdentity {
  started: StartedSandbox;
  /** Commands, in their order. */
  setup: readonly string[];
  /** Sealed secrets for tools, which their output may hold. */
  secrets: JobSpec['sandbox']['secrets'];
  /** ms for all of them together, from when the step was scheduled. */
  timeoutMs: number;
}

export interface RunSessionInput extends KeyInput {
  agent: AgentName;
  model: string;
  handle: SandboxHandle;
  /** From 1. */
  turn: number;
  prompt: PromptRef;
  /** Of the turn before; null in the first. */
  session: SessionState | null;
  permissions: JobSpec['permissions'];
  /** Sealed; masked in what the turn says. */
  secrets?: JobSpec['sandbox']['secrets'];
  onInterrupted: JobSpec['onInterrupted'];
  /** ms without any event of the agent. */
  stallMs: number;
  /** To the question that the agent waits at; null: it waits at none. Earlier ones are in the store. */
  answer: Answer | null;
  /** The turn is to be interrupted as soon as it is there. */
  interrupt: boolean;
}

/** What was decided of a question. */
export interface Answer extends PermissionDecision {
  question: string;
}

export interface RunSessionResult {
  /** Null where the turn waits for the answer to `question`. What the agent said is in the store. */
  stopReason: string | null;
  question: Question | null;
  /** Null where none was opened yet. */
  session: SessionState | null;
  /** USD, of the key up to now. */
  spentUsd: number;
}

export interface RebindKeyInput extends JobIdentity {
  agent: AgentName;
  model: string;
  handle: SandboxHandle;
  permissions: JobSpec['permissions'];
  /** The key that is to be ended afterwards. */
  replaces: KeyRef;
}

export interface RevokeKeyInput extends KeyInput {
  cause: 'job' | 'rotated';
}

export interface StopSandboxInput extends JobIdentity {
  provider: SandboxProviderName;
  /** Null where the start never answered: then nothing came out of it, and it is ended by the job's id. */
  started: StartedSandbox | null;
  /** Files of the workspace to take out. */
  artifacts: readonly string[];
  /** The last turn that ended with a stop reason: its message comes out; 0: none did. */
  lastTurn: number;
}

export interface AbandonSandboxInput extends JobIdentity {
  /** Its id. */
  sandbox: string;
  /** As in StopSandboxInput. */
  lastTurn: number;
}

export interface StoppedSandbox {
  artifacts: ArtifactInfo[];
  workspace: WorkspaceReport;
}

export interface SettleUsageInput extends JobIdentity {
  leaseId: string;
  agent: AgentName;
  outcome: Outcome;
  failure: JobFailure | null;
  /** How many ended with a stop reason: their results are in the store. */
  turns: number;
  artifacts: ArtifactInfo[];
  sandboxLost: boolean;
  workspace: WorkspaceReport;
  /** ISO 8601. */
  startedAt: string;
}

/** The steps of a job. Each is idempotent: Temporal may run it again at any moment. */
export interface Activities {
  mintKey(input: MintKeyInput): Promise<void>;
  /** Starts the sandbox and puts the workspace into it. */
  startSandbox(input: StartSandboxInput): Promise<StartedSandbox>;
  /** Runs the commands of the job's setup, and takes what they made for what the agent begins with. */
  prepareWorkspace(input: PrepareWorkspaceInput): Promise<void>;
  /**
   * Runs one turn, or goes on with it where another worker left it. Resolves also where the turn waits for an answer: it is run
   * again with it. A cancel ends the turn, and the failure's details hold the result.
   */
  runSession(input: RunSessionInput): Promise<RunSessionResult>;
  /**
   * Writes the job's newest key into its running sandbox, and waits until the one before it can be ended without loss. Resolves to
   * false, with nothing written, for an agent that takes up a key with a new process only.
   */
  rebindKey(input: RebindKeyInput): Promise<boolean>;
  /** Ends the agent, collects what it made as far as that is possible, and ends the sandbox. */
  stopSandbox(input: StopSandboxInput): Promise<StoppedSandbox>;
  /**
   * Gives up a sandbox whose host is gone: on record, so that the host ends it when it returns. Resolves to the artifacts that were taken
   * out before. Idempotent.
   */
  abandonSandbox(input: AbandonSandboxInput): Promise<ArtifactInfo[]>;
  /** Has the job's steps that run look at once whether they are to stop. */
  announceStop(input: { jobId: string }): Promise<void>;
  /** Ends the key; with the cause `job` every other one that the job has left, too. */
  revokeKey(input: RevokeKeyInput): Promise<void>;
  settleUsage(input: SettleUsageInput): Promise<SettledJob>;
  /** Ends the keys whose end a revocation has begun. Reports what fails. */
  endKeys(input: RevokeTarget): Promise<EndedKeys>;
  /** Closed jobs that still have keys. Like the other sweeps it reports what fails and throws nothing. */
  sweepJobs(input: { dryRun: boolean }): Promise<SweepReport[]>;
  /** Ledger and gateways against Temporal's record of the jobs. */
  sweepKeys(input: { dryRun: boolean }): Promise<SweepReport[]>;
  /** The sandboxes that the worker which runs this can end. */
  sweepSandboxes(input: { dryRun: boolean }): Promise<SweepReport[]>;
  /** Asks the jobs that run, and whose key is older, for its rotation. Reports what fails and throws nothing. */
  rotateOldKeys(input: { olderThanMs: number }): Promise<RotationReport>;
  /** Task queues on which `sweepSandboxes` is to be run. */
  findHosts(): Promise<string[]>;
}
