import { warmUp } from './acp/agent-process.ts';
import { bindKey } from './bind-key.ts';
import { putSecrets } from './put-secrets.ts';
import { createPausedTurns } from './turn/paused-turns.ts';
import { runTurn } from './turn/turn.ts';

/** The operations on a sandbox that has its workspace, in the order in which a job uses them. */
export interface SandboxOperations {
  putSecrets: typeof putSecrets;
  warmUp: typeof warmUp;
  bindKey: typeof bindKey;
  runTurn: typeof runTurn;
}

export function createSandboxOperations(): SandboxOperations {
  const pausedTurns = createPausedTurns();
  return { putSecrets, warmUp, bindKey, runTurn: (options) => runTurn({ ...options, pausedTurns }) };
}
