import type { AgentProcess } from '../acp/instance.ts';
import type { SessionState } from './state.ts';

export interface Progress {
  /** Event id: the messages of the turn come after it. */
  readonly since: number;
  /** Event id: what came up to it is stored. */
  readonly storedUpTo: number;
  /** The earlier state where it tells of this process; null where it tells of another, or there is none. */
  readonly held: SessionState | null;
  /** The same where it tells of this turn, too. */
  readonly earlier: SessionState | null;
  /** From now on each change is told. */
  open(sessionId: string): void;
  change(change: Partial<Pick<SessionState, 'lastEventId' | 'running' | 'pending'>>): void;
  /** The newest, of the turn when it has ended. */
  state(sessionId: string): SessionState;
}

/** Keeps how far a turn got in one process of the agent. */
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
  let place: Omit<SessionState, 'sessionId'> = {
    v: 2,
    process: number,
    startedAtMs,
    turn,
    since,
    lastEventId: storedUpTo,
    running: earlier?.running ?? null,
    pending: earlier?.pending ?? null,
  };
  let opened: string | null = null;
  const tell = (): void => {
    if (opened !== null) onState({ ...place, sessionId: opened });
  };

  return {
    since,
    storedUpTo,
    held,
    earlier,
    open(sessionId) {
      opened = sessionId;
      tell();
    },
    change(change) {
      place = { ...place, ...change };
      tell();
    },
    state: (sessionId) => ({ ...place, sessionId }),
  };
}
