import { randomUUID } from 'node:crypto';

import { ValetkeyError } from '../job/errors.ts';
import { readFile, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { GIT_ENV } from './git.ts';

/** Of the script below. */
const TOO_LARGE = 99;

/**
 * A temporary index, so that the agent's own is as it was. What the agent committed counts, too, because it is compared with
 * the start. The repository's configuration is the agent's: what could change the form of a patch is said here.
 */
const DIFF = `set -eu
trap 'rm -f "$OUT" "$GIT_INDEX_FILE"' EXIT
cd "$WORKSPACE"
git read-tree "$START"
git -c core.fsmonitor=false add --all .
git -c core.quotePath=true diff --cached --binary --full-index --no-color --no-ext-diff --no-textconv --no-renames --no-relative \\
  --src-prefix=a/ --dst-prefix=b/ --unified=3 "$START" > "$OUT"
test "$(wc -c < "$OUT")" -le "$MAX_BYTES" || exit ${TOO_LARGE}
trap - EXIT
rm -f "$GIT_INDEX_FILE"`;

/**
 * What is in the workspace, as a patch for `git apply` against the commit that `putWorkspace` told: new, changed and deleted
 * files, binary ones included, without what is ignored; null where it is longer than `maxBytes`. Changes nothing that the agent
 * sees, and can be repeated. Throws `workspace_failed` where the agent broke the repository; `sandbox_lost`.
 */
export async function takePatch(
  sandbox: SandboxConnection,
  startCommit: string,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Buffer | null> {
  const out = `${sandbox.paths.home}/.valetkey/patch-${randomUUID()}`;
  const env = {
    ...GIT_ENV,
    WORKSPACE: sandbox.paths.workspace,
    START: startCommit,
    OUT: out,
    GIT_INDEX_FILE: `${out}.index`,
    MAX_BYTES: String(maxBytes),
  };
  const exitCode = await runScript(sandbox, `mkdir -p "$(dirname "$OUT")"\n${DIFF}`, env, signal);
  if (exitCode === TOO_LARGE) return null;
  if (exitCode !== 0)
    throw new ValetkeyError('workspace_failed', `The patch could not be made in the sandbox (exit code ${exitCode ?? 'none'}).`);
  return readFile(sandbox, out, maxBytes, signal);
}
