import type { SessionSettings } from '../../agents/agent.ts';
import type { JobSpec } from '../../contract/spec.ts';
import type { PermissionDecision, Question } from '../../contract/status.ts';
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
  /** What the agent wants said as its session is opened or loaded. */
  sessionSettings?: SessionSettings | undefined;
  /** The last state that is known, of an earlier attempt at this turn or of the turn before; null: none. */
  resume: SessionState | null;
  /** Why the model stopped in this turn, where that was not the end of it, as the gateway has it; left out: nobody knows. */
  modelStop?: (() => Promise<string | null>) | undefined;
  /** Masked in events, in the message and in questions. */
  secrets: readonly Secret[];
  /** What becomes of a question of the agent; asked again for the same question whenever it is read again. */
  decide: (question: Question) => PermissionDecision | 'ask';
  /** When the agent's process died after it had received the prompt, and its session goes on in a new one. */
  onInterrupted: JobSpec['onInterrupted'];
  /** The turn is ended when the agent says nothing for so many ms. */
  stallMs: number;
  /** Stores events, each source once; one call at a time. What it throws ends the call and leaves the agent running. */
  onEvent: (events: SourcedEvent[]) => Promise<void>;
  /** Hears each new state once what it says is true. */
  onState: (state: SessionState) => void;
  /** Hears, before the call rejects because of `cancel`, how far the turn got; not where its prompt was never sent. */
  onCancelled?: (turn: EndedTurn) => void;
  /** Ends the turn at the agent, too (≤ 2 s), then the call rejects with the signal's reason. */
  cancel: AbortSignal;
  /** Leaves the agent running; the call rejects with the signal's reason. */
  detach: AbortSignal;
  /** For the agent's start and each answer up to the receipt of the prompt; 60,000 ms when left out. */
  startTimeoutMs?: number;
  /** Where a step that ends with a question leaves what it has read; left out: the next one reads the whole turn again. */
  pausedTurns?: PausedTurns | undefined;
}

export interface EndedTurn {
  kind: 'ended';
  /**
   * ACP's `end_turn`, `max_tokens`, `max_turn_requests` or `refusal`, or why the model stopped: also `context_length`, `content_filter` and
   * `pause_turn`; `cancelled` in `onCancelled` and after a denial.
   */
  stopReason: string;
  /** The agent's text, cut to its last 16 KiB. */
  message: string;
  /** What the next turn resumes. */
  state: SessionState;
}

/** The agent waits for the answer to a question: the same turn is run again, from this state, with a `decide` that knows it. */
export interface AskingTurn {
  kind: 'asks';
  question: Question;
  state: SessionState;
}

export type Turn = EndedTurn | AskingTurn;
