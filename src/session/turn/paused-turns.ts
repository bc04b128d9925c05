import { isDeepStrictEqual } from 'node:util';

import type { Secret } from '../../secrets/secret.ts';
import type { Mask } from '../events/mask.ts';
import type { Transcript } from '../events/transcript.ts';
import type { AskedPermission } from './permissions.ts';
import type { SessionState } from './state.ts';

/** This covers the answer of a program; a person may take days, and then the turn is read again. */
const PAUSED_TURN_TTL_MS = 30_000;
/** A paused turn may take some megabytes of memory. */
const MAX_PAUSED_TURNS = 32;

/** The part of a turn that a step has read, up to the message `newest`. */
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

/** The step that continues a turn. */
export interface NextStep {
  jobId: string;
  turn: number;
  resume: SessionState | null;
  secrets: readonly Secret[];
}

/** The cache of turns that wait for an answer, for the next step if it runs on the same worker. */
export interface PausedTurns {
  keep(jobId: string, paused: PausedTurn): void;
  /** Removes and returns the paused turn; null unless the next step continues from the same state with the same secrets. */
  take(next: NextStep): PausedTurn | null;
}

/** Creates the cache. Without it every step reads its whole turn again, which takes hours for thousands of questions. */
export function createPausedTurns(ttlMs = PAUSED_TURN_TTL_MS): PausedTurns {
  const turns = new Map<string, PausedTurn>();
  const forget = (jobId: string, paused: PausedTurn): void => {
    if (turns.get(jobId) === paused) turns.delete(jobId);
  };

  return {
    keep(jobId, paused) {
      turns.delete(jobId);
      const [oldest] = turns.keys();
      if (turns.size >= MAX_PAUSED_TURNS && oldest !== undefined) turns.delete(oldest);
      turns.set(jobId, paused);
      setTimeout(forget, ttlMs, jobId, paused).unref();
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
