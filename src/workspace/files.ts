import { ValetkeyError } from '../job/errors.ts';
import { readFile, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';

/** Of the script below. */
const EXIT = { missing: 97, outside: 98, tooLarge: 99 } as const;

/** The size is looked at first: the server takes a file into its memory whole, and would end with one that is too large. */
const CHECK = `set -eu
cd "$WORKSPACE"
target=$(readlink -f -- "$FILE") || exit ${EXIT.missing}
test -e "$target" || exit ${EXIT.missing}
case "$target" in "$(pwd -P)"/*) ;; *) exit ${EXIT.outside} ;; esac
test -f "$target" || exit ${EXIT.missing}
test "$(wc -c < "$target")" -le "$MAX_BYTES" || exit ${EXIT.tooLarge}`;

/**
 * The bytes of a file of the workspace, by its path there; null where it is longer than `maxBytes`. A link that leads out of the
 * workspace is refused, so that what is taken for work is from there; who changes it between the look and the read gets only
 * what the sandbox may read anyway. Throws `workspace_failed`, which names a file that is not there; `sandbox_lost`.
 */
export async function takeFile(sandbox: SandboxConnection, file: string, maxBytes: number, signal?: AbortSignal): Promise<Buffer | null> {
  const { workspace } = sandbox.paths;
  const exitCode = await runScript(sandbox, CHECK, { WORKSPACE: workspace, FILE: file, MAX_BYTES: String(maxBytes) }, signal);
  switch (exitCode) {
    case 0:
      return readFile(sandbox, `${workspace}/${file}`, maxBytes, signal);
    case EXIT.tooLarge:
      return null;
    case EXIT.missing:
      throw new ValetkeyError('workspace_failed', `There is no file ${file} in the workspace.`);
    case EXIT.outside:
      throw new ValetkeyError('workspace_failed', `The file ${file} is a link that leads out of the workspace.`);
    default:
      throw new ValetkeyError('workspace_failed', `The file ${file} could not be read in the sandbox (exit code ${exitCode ?? 'none'}).`);
  }
}
