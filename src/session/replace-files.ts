import { randomUUID } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import { putFile, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';

/** A file to write into a sandbox: mode 0600, or 0700 when it is executable. */
export interface PrivateFile {
  /** The absolute path inside the sandbox. */
  path: string;
  content: string;
  executable?: boolean;
}

/**
 * Writes files into a sandbox and moves them into place in the given order. Each is replaced atomically: a reader gets the old content or the
 * new. Idempotent: a repeat replaces the files. The contents are in request bodies only. Throws `sandbox_lost`.
 */
export async function replaceFiles(sandbox: SandboxConnection, files: readonly PrivateFile[], signal?: AbortSignal): Promise<void> {
  const suffix = `.${randomUUID()}`;
  const env = { FILES: files.map(({ path, executable }) => `${executable === true ? '700' : '600'} ${path}`).join('\n'), SUFFIX: suffix };
  await Promise.all(files.map(async ({ path, content }) => putFile(sandbox, path + suffix, content, signal)));
  const exitCode = await runScript(sandbox, REPLACE, env, signal);
  if (exitCode !== 0) throw new ValetkeyError('sandbox_lost', `The sandbox did not accept its files (exit code ${exitCode ?? 'none'}).`);
}

/**
 * The sandbox-agent server creates files with mode 0644, in a home that only its user can read. The server's own move is not used because it
 * removes the target first (sandbox-agent 0.4.2), so that for a moment no file exists.
 */
const REPLACE = `while read -r mode file; do
  chmod "$mode" "$file$SUFFIX" && mv -fT "$file$SUFFIX" "$file" || exit 1
done << END
$FILES
END`;
