import type { Agent } from '../agents/agent.ts';
import type { JobSpec } from '../contract/spec.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { replaceFiles } from './replace-files.ts';

/**
 * Puts a key into a sandbox: the agent's files, then the key file (mode 0600). Each appears whole or not at all, so an agent
 * that reads at that moment gets the old or the new. Idempotent: a repeat, with another key too, replaces. The caller retries.
 * The secret travels in request bodies only. Throws `sandbox_lost`.
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
  // The key last: with it the agent begins to ask.
  await replaceFiles(sandbox, [...files, { path: keyFile, content: key.reveal() }], signal);
}
