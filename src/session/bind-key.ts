import type { Agent } from '../agents/agent.ts';
import type { JobSpec } from '../contract/spec.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { replaceFiles } from './replace-files.ts';

/**
 * Writes a key into a sandbox: first the agent's configuration files, then the key file (mode 0600). Each file is replaced atomically, so an
 * agent that reads it meanwhile gets the old content or the new. Idempotent: a repeat, also with another key, replaces the files. The caller
 * retries. The secret is in request bodies only. Throws `sandbox_lost`.
 */
export async function bindKey(
  sandbox: SandboxConnection,
  agent: Agent,
  key: Secret,
  { model, permissions }: Pick<JobSpec, 'model' | 'permissions'>,
  signal?: AbortSignal,
): Promise<void> {
  const keyFile = `${sandbox.paths.home}/.valetkey/key`;
  const files = agent.files({ paths: sandbox.paths, keyFile, model, permissions });
  // The key is last: once it exists the agent sends requests, and its configuration must be complete by then.
  await replaceFiles(sandbox, [...files, { path: keyFile, content: key.reveal() }], signal);
}
