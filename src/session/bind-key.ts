import { randomUUID } from 'node:crypto';

import type { Agent, AgentFile } from '../agents/agent.ts';
import { ValetkeyError } from '../job/errors.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { moveFile, putFile, runScript } from './sandbox-api.ts';

/**
 * Puts a key into a sandbox: the agent's files, then the key file (mode 0600). Each appears whole or not at all, so an agent
 * that reads at that moment gets the old or the new. Idempotent: a repeat, with another key too, replaces. The caller retries.
 * The secret travels in request bodies only. Throws `sandbox_lost`.
 */
export async function bindKey(sandbox: SandboxConnection, agent: Agent, key: Secret, model: string, signal?: AbortSignal): Promise<void> {
  const keyFile = `${sandbox.paths.home}/.valetkey/key`;
  for (const file of agent.files({ paths: sandbox.paths, keyFile, model })) {
    await replaceFile(sandbox, file, file.executable === true ? '700' : '600', signal);
  }
  await replaceFile(sandbox, { path: keyFile, content: key.reveal() }, '600', signal);
}

async function replaceFile(sandbox: SandboxConnection, { path, content }: AgentFile, mode: string, signal?: AbortSignal): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  // The mode before the content: the server makes files 0644, and keeps the mode of one that is there.
  const made = await runScript(sandbox, 'umask 077 && mkdir -p "$(dirname "$FILE")" && : > "$FILE" && chmod "$MODE" "$FILE"', { FILE: temporary, MODE: mode }, signal);
  if (made !== 0) throw new ValetkeyError('sandbox_lost', `The sandbox did not take a file of the agent (exit code ${made ?? 'none'}).`);
  await putFile(sandbox, temporary, content, signal);
  await moveFile(sandbox, temporary, path, signal);
}
