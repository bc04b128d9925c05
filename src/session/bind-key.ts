import type { Agent, AgentJob } from '../agents/agent.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { replaceFiles } from './replace-files.ts';

/**
 * Writes a key into a sandbox: first the agent's configuration files, then the key file (mode 0600). Each file is replaced atomically, so an
 * agent that reads it meanwhile gets the old content or the new. Idempotent: a repeat, also with another key, replaces the files. The caller
 * retries. The secret is in request bodies only. Throws `sandbox_lost`.
 */
export async function bindKey(sandbox: SandboxConnection, agent: Agent, key: Secret, job: AgentJob, signal?: AbortSignal): Promise<void> {
  const keyFile = `${sandbox.paths.home}/.valetkey/key`;
  const files = agent.files({ ...job, paths: sandbox.paths, keyFile });
  // The key is last: once it exists the agent sends requests, and its configuration must be complete by then.
  await replaceFiles(sandbox, [...files, { path: keyFile, content: key.reveal() }], signal);
}
