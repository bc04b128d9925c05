import { randomUUID } from 'node:crypto';

import type { Agent, AgentFile } from '../agents/agent.ts';
import { ValetkeyError } from '../job/errors.ts';
import type { JobSpec } from '../job/spec.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { putFile, runScript } from './sandbox-api.ts';

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
  const files: AgentFile[] = [
    ...agent.files({ paths: sandbox.paths, keyFile, model, permissions }),
    { path: keyFile, content: key.reveal() },
  ];
  const suffix = `.${randomUUID()}`;
  const env = { FILES: files.map(({ path, executable }) => `${executable === true ? '700' : '600'} ${path}`).join('\n'), SUFFIX: suffix };
  await Promise.all(files.map(async ({ path, content }) => putFile(sandbox, path + suffix, content, signal)));
  const exitCode = await runScript(sandbox, REPLACE, env, signal);
  if (exitCode !== 0)
    throw new ValetkeyError('sandbox_lost', `The sandbox did not take the files of the agent (exit code ${exitCode ?? 'none'}).`);
}

/**
 * In their order, the key last. The server makes files 0644, in a home that is its user's alone. Its own move removes the target
 * first (sandbox-agent 0.4.2): for a moment there would be no key.
 */
const REPLACE = `while read -r mode file; do
  chmod "$mode" "$file$SUFFIX" && mv -fT "$file$SUFFIX" "$file" || exit 1
done << END
$FILES
END`;
