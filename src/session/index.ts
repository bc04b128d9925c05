import type { Workspace } from '../job/spec.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { takeFile } from '../workspace/files.ts';
import { takePatch } from '../workspace/patch.ts';
import { putWorkspace, type PutWorkspaceOptions } from '../workspace/put.ts';
import { bindKey } from './bind-key.ts';
import { warmUp } from './instance.ts';
import { putSecrets } from './put-secrets.ts';
import { runTurn } from './turn.ts';

/** What can be done with a sandbox that was started, in this order; each function's own comment says the rest. */
export interface Session {
  putWorkspace(sandbox: SandboxConnection, workspace: Workspace, options?: PutWorkspaceOptions): Promise<string>;
  putSecrets: typeof putSecrets;
  warmUp: typeof warmUp;
  bindKey: typeof bindKey;
  runTurn: typeof runTurn;
  takePatch: typeof takePatch;
  takeFile: typeof takeFile;
}

/** `path`: PATH, to find git. */
export function createSession({ path }: { path: string }): Session {
  return {
    putWorkspace: (sandbox, workspace, options) => putWorkspace(sandbox, workspace, path, options),
    putSecrets,
    warmUp,
    bindKey,
    runTurn,
    takePatch,
    takeFile,
  };
}
