import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { replaceFiles } from './replace-files.ts';

/**
 * Writes a job's tool secrets into its sandbox, each to a file of mode 0600. The sandbox's environment has held its path in `<NAME>_FILE`
 * since the start. Idempotent; the caller retries. Throws `sandbox_lost`.
 */
export async function putSecrets(sandbox: SandboxConnection, secrets: ReadonlyMap<string, Secret>, signal?: AbortSignal): Promise<void> {
  const files = [...secrets].map(([name, secret]) => ({ path: `${sandbox.paths.home}/.secrets/${name}`, content: secret.reveal() }));
  if (files.length > 0) await replaceFiles(sandbox, files, signal);
}
