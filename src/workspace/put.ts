import { randomUUID } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ValetkeyError } from '../job/errors.ts';
import type { Workspace } from '../job/spec.ts';
import { PART_BYTES, putFile, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { Secret } from '../secrets/secret.ts';
import { makeStartBundle } from './bundle.ts';
import { GIT_ENV } from './git.ts';

/** The workspace is a mount, so it is emptied and not removed. The clone remembers no place that it came from. */
const UNPACK = `set -eu
cat "$PARTS"/* > "$PARTS.bundle"
find "$WORKSPACE" -mindepth 1 -delete
git clone --quiet --branch main -c user.name=agent -c user.email=agent@localhost "$PARTS.bundle" "$WORKSPACE"
git -C "$WORKSPACE" remote remove origin
test "$(git -C "$WORKSPACE" rev-parse HEAD)" = "$START"
rm -rf "$PARTS" "$PARTS.bundle"`;

export interface PutWorkspaceOptions {
  /** For the server of `git`; it stays on the host. */
  gitToken?: Secret | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Fills a sandbox's workspace and resolves to the id of the commit that it starts from: it names its content, so a caller who
 * keeps it can tell what the agent changed, whatever the agent does to the repository. Idempotent as long as no session was
 * opened: what is in the workspace is replaced. The caller retries. `path`: PATH, to find git. Throws `workspace_failed`, `sandbox_lost`.
 */
export async function putWorkspace(
  sandbox: SandboxConnection,
  workspace: Workspace,
  path: string,
  { gitToken, signal }: PutWorkspaceOptions = {},
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'valetkey-workspace-'));
  try {
    const { file, startCommit } = await makeStartBundle(workspace, { path, cwd: folder, signal, gitToken });
    const parts = `${sandbox.paths.home}/.valetkey/start-${randomUUID()}`;
    await putParts(sandbox, file, parts, signal);
    const env = { ...GIT_ENV, PARTS: parts, WORKSPACE: sandbox.paths.workspace, START: startCommit };
    const exitCode = await runScript(sandbox, UNPACK, env, signal);
    if (exitCode !== 0)
      throw new ValetkeyError('workspace_failed', `The workspace could not be unpacked in the sandbox (exit code ${exitCode ?? 'none'}).`);
    return startCommit;
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function putParts(sandbox: SandboxConnection, file: string, folder: string, signal?: AbortSignal): Promise<void> {
  await using handle = await open(file);
  const buffer = Buffer.alloc(PART_BYTES);
  for (let part = 0; ; part += 1) {
    const { bytesRead } = await handle.read(buffer, 0, PART_BYTES, part * PART_BYTES);
    if (bytesRead === 0) return;
    await putFile(sandbox, `${folder}/${String(part).padStart(6, '0')}`, buffer.subarray(0, bytesRead), signal);
  }
}
