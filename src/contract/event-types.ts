import type { FailureCode } from './errors.ts';
import type { Outcome } from './result.ts';
import type { Isolation } from './sandbox-provider.ts';
import type { AgentName } from './spec.ts';
import type { PermissionDecision } from './status.ts';
import type { WorkspaceReport } from './workspace-report.ts';

/** One thing that happened, before it has a place in the job's order. `jobEventSchema` checks it. */
export type JobEventBody =
  | JobStarted
  | JobEnded
  | KeyMinted
  | KeyStep<'key.bound'>
  | KeyStep<'key.used'>
  | KeyStep<'key.disabled'>
  | KeyStep<'key.revoked'>
  | KeyStep<'key.deleted'>
  | KeySettled
  | SandboxStarted
  | SandboxStopped
  | SetupStarted
  | SetupOutput
  | SetupEnded
  | WorkspaceCollected
  | BranchPushed
  | CheckpointStored
  | CheckpointRestored
  | TurnStarted
  | TurnEnded
  | AgentText<'message'>
  | AgentText<'thought'>
  | ToolCall
  | Plan
  | PermissionAsked
  | PermissionAnswered
  | Gap
  | ArtifactStored
  | UsageReported
  | Egress
  | Warning;

/** The job began. */
export interface JobStarted {
  /** The job began. */
  type: 'job.started';
  /** The tenant that the job runs for. */
  tenant: string;
  /** The agent that the job runs. */
  agent: AgentName;
  /** The model that the key of the job may use. */
  model: string;
}

/** The job ended: the last event. */
export interface JobEnded {
  /** The job ended: the last event. */
  type: 'job.ended';
  /** The outcome of the job. */
  outcome: Outcome;
  /** The reason why it did not complete; null where it did. */
  code: FailureCode | null;
  /** The reason in words; null where it completed. */
  message: string | null;
}

/** A key was minted. */
export interface KeyMinted {
  /** A key was minted. */
  type: 'key.minted';
  /** Names the key: `<job>/<lease>/<generation>`. */
  ref: string;
  /** ISO 8601: the key is refused from then on, whatever happens. */
  expiresAt: string;
}

/** A step of a key's life. */
export interface KeyStep<Type extends string> {
  /** The key was written into the sandbox, used first, disabled, seen refused, or deleted at its gateway. */
  type: Type;
  /** Names the key: `<job>/<lease>/<generation>`. */
  ref: string;
}

/** The spend of a key was settled. */
export interface KeySettled {
  /** The spend of a key was settled. */
  type: 'key.settled';
  /** Names the key: `<job>/<lease>/<generation>`. */
  ref: string;
  /** USD that the key spent. */
  usd: number;
}

/** A sandbox runs. */
export interface SandboxStarted {
  /** A sandbox runs. */
  type: 'sandbox.started';
  /** Id of the sandbox. */
  sandbox: string;
  /** The isolation from its host. */
  isolation: Isolation;
}

/** A sandbox was stopped. */
export interface SandboxStopped {
  /** A sandbox was stopped. */
  type: 'sandbox.stopped';
  /** Id of the sandbox. */
  sandbox: string;
}

/** The state of the job after a turn was stored. */
export interface CheckpointStored {
  /** The state of the job after a turn was stored. */
  type: 'checkpoint.stored';
  /** The turn. */
  turn: number;
  /** Bytes that were stored, without the start of the workspace. */
  bytes: number;
  /** Whether it holds all that the agent changed. */
  complete: boolean;
}

/** A new sandbox continues the job. */
export interface CheckpointRestored {
  /** A new sandbox continues the job. */
  type: 'checkpoint.restored';
  /** The turn after which the checkpoint was stored; 0: the start of the job. */
  turn: number;
  /** Id of the sandbox. */
  sandbox: string;
}

/** A command of `workspace.setup` began. */
export interface SetupStarted {
  /** A command of `workspace.setup` began. */
  type: 'setup.started';
  /** Number of the command, from 1. */
  command: number;
  /** The command. */
  text: string;
}

/** Output of a setup command. */
export interface SetupOutput {
  /** Output of a setup command. */
  type: 'setup.output';
  /** Number of the command, from 1. */
  command: number;
  /** At most 8 KiB of its output; the middle of more than 64 KiB is left out. */
  output: string;
}

/** A setup command ended. */
export interface SetupEnded {
  /** A setup command ended. */
  type: 'setup.ended';
  /** Number of the command, from 1. */
  command: number;
  /** Its exit code, 0 for success. */
  exitCode: number;
}

/** Everything that can be collected from the workspace was. */
export interface WorkspaceCollected extends WorkspaceReport {
  /** Everything that can be collected from the workspace was. */
  type: 'workspace.collected';
}

/** The work of the job was pushed. */
export interface BranchPushed {
  /** The work of the job was pushed. */
  type: 'branch.pushed';
  /** Name of the branch. */
  branch: string;
  /** Id of the commit that it holds. */
  commit: string;
}

/** A turn began. */
export interface TurnStarted {
  /** A turn began. */
  type: 'turn.started';
  /** Number of the turn, from 1. */
  turn: number;
  /** The prompt. */
  prompt: string;
}

/** A turn ended. */
export interface TurnEnded {
  /** A turn ended. */
  type: 'turn.ended';
  /** Number of the turn, from 1. */
  turn: number;
  /** The stop reason: `end_turn`, `cancelled`, `max_tokens`, `refusal` and others; null where it failed. */
  stopReason: string | null;
  /** The reason why it failed; null where it did not. */
  code: FailureCode | null;
}

/** Text of the agent. */
export interface AgentText<Type extends string> {
  /** A message or a thought of the agent. */
  type: Type;
  /** Number of the turn, from 1. */
  turn: number;
  /** A part of the text; the next event continues it. */
  text: string;
}

/** A tool call began or changed. */
export interface ToolCall {
  /** A tool call began or changed. */
  type: 'tool';
  /** Number of the turn, from 1. */
  turn: number;
  /** Names the tool call within its job: each of its events has it. */
  id: string;
  /** A description of the call for a person. */
  title: string;
  /** ACP's kind of the tool: `edit`, `execute` and others. */
  kind: string | null;
  /** ACP's status: `pending`, `in_progress`, `completed`, `failed`. */
  status: string | null;
  /**
   * The text output, in the event of the call's end. Of more than 8 KiB it is the beginning and the end, with a line between them that holds
   * the number of missing characters. A diff is in each event. What a call has printed when its turn ends is reported then.
   */
  output: string | null;
}

/** The agent's plan, as it is now. */
export interface Plan {
  /** The agent's plan, as it is now. */
  type: 'plan';
  /** Number of the turn, from 1. */
  turn: number;
  /** Its steps, each with ACP's status: `pending`, `in_progress`, `completed`. */
  entries: { text: string; status: string }[];
}

/** The agent requests permission. */
export interface PermissionAsked {
  /** The agent requests permission. */
  type: 'permission.asked';
  /** Number of the turn, from 1. */
  turn: number;
  /** Names the question within its job: `jobs.answer` takes it. */
  id: string;
  /** The request in words, for a person. */
  title: string;
  /** ACP's kind of the tool: `edit`, `execute` and others. */
  kind: string | null;
  /** The `id` of the `tool` events that it is about; null: the agent names none. */
  toolCall: string | null;
  /** The command or the diff that it is about, cut as the output of a tool is; null: the agent shows none. */
  details: string | null;
}

/** A question was answered. */
export interface PermissionAnswered {
  /** A question was answered. */
  type: 'permission.answered';
  /** Number of the turn, from 1. */
  turn: number;
  /** Names the question within its job. */
  id: string;
  /** The answer. */
  answer: PermissionDecision['answer'];
  /** The source of the answer: the job's policy, a person, or `permissionTimeout`. */
  by: PermissionDecision['by'];
}

/** Messages of the agent were lost while no worker was attached. */
export interface Gap {
  /** Messages of the agent were lost while no worker was attached. */
  type: 'gap';
  /** Number of the turn, from 1. */
  turn: number;
  /** The number of lost messages. */
  messages: number;
}

/** An artifact was stored. */
export interface ArtifactStored {
  /** An artifact was stored. */
  type: 'artifact';
  /** `patch`, `message`, or `files/<path>`. */
  name: string;
  /** Size in bytes. */
  bytes: number;
  /** SHA-256 of the content, hex. */
  sha256: string;
}

/** The usage of the job up to now. */
export interface UsageReported {
  /** The usage of the job up to now. */
  type: 'usage';
  /** All input tokens, those read from and written to a cache included. */
  inputTokens: number;
  /** Output tokens, thinking included. */
  outputTokens: number;
  /** USD. */
  usd: number;
}

/**
 * The traffic between the sandbox and one host since the sandbox started: the newest event of a host, port and reason includes all
 * earlier ones.
 */
export interface Egress {
  /** The traffic between the sandbox and one host since the sandbox started. */
  type: 'egress';
  /** The host; `*` for the hosts beyond the first 200. */
  host: string;
  /** The port. */
  port: number;
  /** The number of connections, or of requests to connect that were refused. */
  connections: number;
  /** Bytes to the host. */
  bytesUp: number;
  /** Bytes from the host. */
  bytesDown: number;
  /** The reason why nothing passed; null where something did. */
  refused: string | null;
}

/** A problem occurred, and the job continues. */
export interface Warning {
  /** A problem occurred, and the job continues. */
  type: 'warning';
  /** The code of the problem. */
  code: string;
  /** A description for a person. */
  message: string;
}
