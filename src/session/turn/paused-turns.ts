import { isDeepStrictEqual } from 'node:util';

import type { Secret } from '../../secrets/secret.ts';
import type { Mask } from '../events/mask.ts';
import type { Transcript } from '../events/transcript.ts';
import type { AskedPermission } from './permissions.ts';
import type { SessionState } from './state.ts';

/** A program answers at once, and a person may take days: then the turn is read again. */
const KEEP_MS = 30_000;
/** What a turn leaves may be some megabytes. */
const MAX_TURNS = 32;

/** What a step has read of a turn, up to the message `newest`. */
export interface PausedTurn {
  state: SessionState;
  newest: number;
  secrets: readonly Secret[];
  mask: Mask;
  transcript: Transcript;
  /** The agent's open questions, `state.pending` among them. */
  waiting: readonly AskedPermission[];
  denied: boolean;
}

/** The step that goes on with a turn. */
export interface NextStep {
  jobId: string;
  turn: number;
  resume: SessionState | null;
  secrets: readonly Secret[];
}

/** What the turns that wait for an answer have read, for the next step where it comes to the same worker. */
export interface PausedTurns {
  keep(jobId: string, paused: PausedTurn): void;
  /** Once, and only where the next step goes on from the same state with the same secrets; else null. */
  take(next: NextStep): PausedTurn | null;
}

/** Without it every step reads its whole turn again, which for thousands of questions takes hours. */
export function createPausedTurns(keepMs = KEEP_MS): PausedTurns {
  const turns = new Map<string, PausedTurn>();
  const forget = (jobId: string, paused: PausedTurn): void => {
    if (turns.get(jobId) === paused) turns.delete(jobId);
  };

  return {
    keep(jobId, paused) {
      turns.delete(jobId);
      const [oldest] = turns.keys();
      if (turns.size >= MAX_TURNS && oldest !== undefined) turns.delete(oldest);
      turns.set(jobId, paused);
      setTimeout(forget, keepMs, jobId, paused).unref();
    },
    take({ jobId, turn, resume, secrets }) {
      const paused = turns.get(jobId);
      turns.delete(jobId);
      if (paused?.state.turn !== turn || !isDeepStrictEqual(paused.state, resume)) return null;
      return isDeepStrictEqual(texts(paused.secrets), texts(secrets)) ? paused : null;
    },
  };
}

function texts(secrets: readonly Secret[]): string[] {
  return secrets.map((secret) => secret.reveal());
}
