import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { ValetkeyError } from '../contract/errors.ts';
import type { Workspace } from '../contract/spec.ts';
import { putFile, putParts, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { createStart } from './bundle.ts';
import { GIT_ENV } from './git.ts';
import { unpackStart, type StoredStart } from './stored-start.ts';

/**
 * The workspace is a mount, so it is emptied and not removed. Files are the exact bytes that the repository holds: neither its
 * attributes nor the agent’s git convert them, so the worker’s later comparison sees the same bytes. The script of a worker that was killed
 * goes on, or comes late: one runs at a time, and only that of the newest attempt.
 */
const UNPACK_SCRIPT = `set -eu
exec 9> "$LOCK"
flock 9
if test "$(cat "$NEWEST")" != "$PARTS"; then rm -rf "$PARTS"; exit 75; fi
find "$WORKSPACE" -mindepth 1 -delete
git init --quiet --template= --initial-branch=main --object-format="$FORMAT" "$WORKSPACE"
cd "$WORKSPACE"
git config user.name agent
git config user.email agent@localhost
mkdir -p .git/info
echo '* -text -filter -ident -working-tree-encoding' > .git/info/attributes
cat "$PARTS"/pack-* | git index-pack --stdin > "$PARTS/log"
if test -f "$PARTS/shallow"; then cp "$PARTS/shallow" .git/shallow; fi
git update-ref refs/heads/main "$START"
git reset --quiet --hard
rm -rf "$PARTS"`;

export interface PutWorkspaceOptions {
  /** The token for the server of `git`. It stays on the host. */
  gitToken?: Secret | undefined;
  signal?: AbortSignal | undefined;
}

export interface PutWorkspaceResult {
  /** The id of the commit that the workspace starts from. */
  startCommit: string;
  /** Warnings about what was left out, as sentences. */
  warnings: string[];
}

/** Returns the path of the repository of a start commit in `workerFolder`, out of the agent’s reach. */
export function startRepository(workerFolder: string, startCommit: string): string {
  return join(workerFolder, `${startCommit}.git`);
}

/**
 * Fills a sandbox’s workspace and stores the repository of its start in `workerFolder`, a folder of the host. Idempotent until a session
 * is opened: the contents of the workspace are replaced. The caller retries. `path`: PATH, to find git. Throws `workspace_failed`,
 * `sandbox_lost`.
 */
export async function putWorkspace(
  sandbox: SandboxConnection,
  source: Workspace | StoredStart,
  workerFolder: string,
  path: string,
  { gitToken, signal }: PutWorkspaceOptions = {},
): Promise<PutWorkspaceResult> {
  await createWorkerFolder(workerFolder);
  const folder = await mkdtemp(join(workerFolder, 'start-'));
  try {
    const options = { path, cwd: folder, signal };
    const start = 'content' in source ? unpackStart(source, options) : createStart(source, { ...options, gitToken });
    const { repository, commit, warnings, pack, shallow } = await start;
    const own = `${sandbox.paths.home}/.valetkey`;
    const parts = `${own}/start-${randomUUID()}`;
    const newest = `${own}/start`;
    await putParts(sandbox, createReadStream(pack), `${parts}/pack-`, signal);
    if (shallow !== null) await putFile(sandbox, `${parts}/shallow`, shallow, signal);
    await putFile(sandbox, newest, parts, signal);
    const env = {
      ...GIT_ENV,
      LOCK: `${newest}.lock`,
      NEWEST: newest,
      PARTS: parts,
      WORKSPACE: sandbox.paths.workspace,
      START: commit,
      FORMAT: repository.format,
    };
    const exitCode = await runScript(sandbox, UNPACK_SCRIPT, env, signal);
    if (exitCode !== 0)
      throw new ValetkeyError('workspace_failed', `The workspace could not be unpacked in the sandbox (exit code ${exitCode ?? 'none'}).`);
    // The repository of an earlier attempt is the same.
    await rename(repository.folder, startRepository(workerFolder, commit)).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EEXIST'))) throw error;
    });
    return { startCommit: commit, warnings };
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Creates the folder, but not the one above, which exists as long as the sandbox. */
async function createWorkerFolder(workerFolder: string): Promise<void> {
  try {
    await mkdir(workerFolder, { mode: 0o700 });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') throw new ValetkeyError('sandbox_lost', 'The sandbox and its files are gone.');
    if (code !== 'EEXIST') throw error;
  }
}
