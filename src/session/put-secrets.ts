import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { replaceFiles } from './replace-files.ts';

/**
 * Puts a job's secrets for tools into its sandbox, each in a file of mode 0600 whose path the sandbox has had in `<NAME>_FILE` from its
 * start. Idempotent; the caller retries. Throws `sandbox_lost`.
 */
export async function putSecrets(sandbox: SandboxConnection, secrets: ReadonlyMap<string, Secret>, signal?: AbortSignal): Promise<void> {
  const files = [...secrets].map(([name, secret]) => ({ path: `${sandbox.paths.home}/.secrets/${name}`, content: secret.reveal() }));
  if (files.length > 0) await replaceFiles(sandbox, files, signal);
}
