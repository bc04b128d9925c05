import { bindKey } from './bind-key.ts';
import { warmUp } from './instance.ts';
import { createPausedTurns } from './paused-turns.ts';
import { putSecrets } from './put-secrets.ts';
import { runTurn } from './turn.ts';

/** What can be done with a sandbox whose workspace is there, in this order; each function's own comment says the rest. */
export interface Session {
  putSecrets: typeof putSecrets;
  warmUp: typeof warmUp;
  bindKey: typeof bindKey;
  runTurn: typeof runTurn;
}

export function createSession(): Session {
  const pausedTurns = createPausedTurns();
  return { putSecrets, warmUp, bindKey, runTurn: (options) => runTurn({ ...options, pausedTurns }) };
}
