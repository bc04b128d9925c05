import { warmUp } from './acp/instance.ts';
import { bindKey } from './bind-key.ts';
import { putSecrets } from './put-secrets.ts';
import { createPausedTurns } from './turn/paused-turns.ts';
import { runTurn } from './turn/turn.ts';

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
