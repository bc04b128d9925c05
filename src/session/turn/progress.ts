import type { AgentProcess } from '../acp/agent-process.ts';
import type { SessionState } from './state.ts';

export interface Progress {
  /** The event id after which the turn's messages begin. */
  readonly since: number;
  /** The event id up to which all events are stored. */
  readonly storedUpTo: number;
  /** The earlier state if it belongs to this process; null otherwise. */
  readonly held: SessionState | null;
  /** The earlier state if it belongs to this process and this turn; null otherwise. */
  readonly earlier: SessionState | null;
  /** Sets the session id; from now on each change is reported to `onState`. */
  open(sessionId: string): void;
  change(change: Partial<Pick<SessionState, 'lastEventId' | 'running' | 'pending'>>): void;
  /** Returns the current state; once the turn has ended, the state from which the next turn resumes. */
  state(sessionId: string): SessionState;
}

/** Tracks how far a turn has got in one process of the agent. */
export function trackProgress(
  { number, startedAtMs }: AgentProcess,
  turn: number,
  resume: SessionState | null,
  onState: (state: SessionState) => void,
): Progress {
  const held = resume?.process === number && resume.startedAtMs === startedAtMs ? resume : null;
  const earlier = held?.turn === turn ? held : null;
  const since = earlier?.since ?? held?.lastEventId ?? 0;
  const storedUpTo = held?.lastEventId ?? 0;
  let current: Omit<SessionState, 'sessionId'> = {
    v: 2,
    process: number,
    startedAtMs,
    turn,
    since,
    lastEventId: storedUpTo,
    running: earlier?.running ?? null,
    pending: earlier?.pending ?? null,
  };
  let openedSessionId: string | null = null;
  const report = (): void => {
    if (openedSessionId !== null) onState({ ...current, sessionId: openedSessionId });
  };

  return {
    since,
    storedUpTo,
    held,
    earlier,
    open(sessionId) {
      openedSessionId = sessionId;
      report();
    },
    change(change) {
      current = { ...current, ...change };
      report();
    },
    state: (sessionId) => ({ ...current, sessionId }),
  };
}
