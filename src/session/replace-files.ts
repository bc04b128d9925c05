import { randomUUID } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import { putFile, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';

/** A file that goes into a sandbox: mode 0600, or 0700 where it is executable. */
export interface PrivateFile {
  /** Absolute, inside the sandbox. */
  path: string;
  content: string;
  executable?: boolean;
}

/**
 * Writes files into a sandbox, in their order; each appears whole or not at all, so whoever reads at that moment gets the old or the new.
 * Idempotent: a repeat replaces. Contents travel in request bodies only. Throws `sandbox_lost`.
 */
export async function replaceFiles(sandbox: SandboxConnection, files: readonly PrivateFile[], signal?: AbortSignal): Promise<void> {
  const suffix = `.${randomUUID()}`;
  const env = { FILES: files.map(({ path, executable }) => `${executable === true ? '700' : '600'} ${path}`).join('\n'), SUFFIX: suffix };
  await Promise.all(files.map(async ({ path, content }) => putFile(sandbox, path + suffix, content, signal)));
  const exitCode = await runScript(sandbox, REPLACE, env, signal);
  if (exitCode !== 0) throw new ValetkeyError('sandbox_lost', `The sandbox did not take its files (exit code ${exitCode ?? 'none'}).`);
}

/**
 * The server makes files 0644, in a home that is its user's alone. Its own move removes the target first (sandbox-agent 0.4.2): for a
 * moment there would be no file.
 */
const REPLACE = `while read -r mode file; do
  chmod "$mode" "$file$SUFFIX" && mv -fT "$file$SUFFIX" "$file" || exit 1
done << END
$FILES
END`;
