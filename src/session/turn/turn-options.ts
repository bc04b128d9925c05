import type { SessionSettings } from '../../agents/agent.ts';
import type { McpServerSpec } from '../../contract/mcp-spec.ts';
import type { JobSpec } from '../../contract/spec.ts';
import type { AnsweredQuestion, PermissionDecision, Question, QuestionSubject } from '../../contract/status.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { SourcedEvent } from '../../store/events.ts';
import type { PausedTurns } from './paused-turns.ts';
import type { SessionState } from './state.ts';

export interface TurnOptions {
  sandbox: SandboxConnection;
  jobId: string;
  /** Counts from 1 within the job. */
  turn: number;
  prompt: string;
  /** Agent-specific parameters for opening or loading the session. */
  sessionSettings?: SessionSettings | undefined;
  /** The MCP servers of the session; none unless given. */
  mcpServers?: readonly McpServerSpec[] | undefined;
  /** The last known state, from an earlier attempt at this turn or from the previous turn; null when there is none. */
  resume: SessionState | null;
  /** Returns why the model stopped in this turn, as the gateway recorded it; null for a normal end of the answer. Without it the agent's own stop reason counts. */
  modelStop?: (() => Promise<string | null>) | undefined;
  /** The secrets to mask in events, in the message and in questions. */
  secrets: readonly Secret[];
  /** Decides a permission request; called again for the same question whenever it is read again. */
  decide: (question: Question, subject?: QuestionSubject) => PermissionDecision | 'ask';
  /** The reaction when the agent's process ended after it had received the prompt: the session continues in a new process, or the turn fails. */
  onInterrupted: JobSpec['onInterrupted'];
  /** The question at which the sandbox of this turn was stopped, and its answer: the agent is asked to go on from there, in place of the prompt. */
  resumes?: AnsweredQuestion | undefined;
  /** The turn ends as `stalled` when the agent sends no message for so many ms. */
  stallMs: number;
  /** Stores events, each source once; one call at a time. Its error ends the call and leaves the agent running. */
  onEvent: (events: SourcedEvent[]) => Promise<void>;
  /** Receives each new state after the events up to it are stored. */
  onState: (state: SessionState) => void;
  /** Receives the cancelled turn before the call rejects because of `cancel`; not called when the prompt was never sent. */
  onCancelled?: (turn: EndedTurn) => void;
  /** Cancels the turn at the agent (≤ 2 s), then the call rejects with the signal's reason. */
  cancel: AbortSignal;
  /** Leaves the agent running; the call rejects with the signal's reason. */
  detach: AbortSignal;
  /** The limit in ms for the agent's start and for each answer up to the receipt of the prompt; 60,000 by default. */
  startTimeoutMs?: number;
  /** The cache in which a step that ends with a question keeps what it has read; without it the next step reads the whole turn again. */
  pausedTurns?: PausedTurns | undefined;
}

export interface EndedTurn {
  kind: 'ended';
  /**
   * ACP's `end_turn`, `max_tokens`, `max_turn_requests` or `refusal`, or the model's reason, which may also be `context_length`,
   * `content_filter` or `pause_turn`; `cancelled` in `onCancelled` and after a denial.
   */
  stopReason: string;
  /** The agent's text, cut to its last 16 KiB. */
  message: string;
  /** The state from which the next turn resumes. */
  state: SessionState;
}

/** The agent waits for the answer to a question: the caller runs the same turn again from this state, with a `decide` that has the answer. */
export interface AskingTurn {
  kind: 'asks';
  question: Question;
  state: SessionState;
}

export type Turn = EndedTurn | AskingTurn;
