import { activityInfo } from '@temporalio/activity';

import { ValetkeyError } from '../contract/errors.ts';
import type { JobEventBody } from '../contract/events.ts';
import { providerNamed, type Sandboxes } from '../sandboxes/index.ts';
import type { HostFolders, SandboxHandle, SandboxProvider } from '../sandboxes/sandbox.ts';
import { openToolSecrets } from '../secrets/tool-secrets.ts';
import type { Unsealer } from '../secrets/unsealer.ts';
import { createMask } from '../session/events/mask.ts';
import type { Database } from '../store/database.ts';
import { appendEvents } from '../store/events.ts';
import type { Workspaces } from '../workspace/index.ts';
import type { SetupProgress } from '../workspace/setup.ts';
import type { PrepareWorkspaceInput } from './contracts.ts';

export interface PrepareWorkspaceDeps {
  database: Pick<Database, 'db'>;
  sandboxes: Sandboxes;
  workspaces: Workspaces;
  unsealer: Unsealer;
}

/**
 * Runs a job's setup commands and stores their events, then records the workspace as the agent's starting point. Idempotent as long as no
 * turn has begun. Throws `setup_failed`, `sandbox_lost`, `database_unreachable`.
 */
export async function prepareWorkspace(
  { database: { db }, sandboxes, workspaces, unsealer }: PrepareWorkspaceDeps,
  { jobId, tenant, started: { handle, startCommit }, setup, secrets, timeoutMs }: PrepareWorkspaceInput,
  signal: AbortSignal,
): Promise<void> {
  const { attempt, scheduledTimestampMs } = activityInfo();
  const sandbox = providerNamed(sandboxes, handle.provider).connect(handle);
  // The mask needs only the tool secrets: the job's key is not in the sandbox yet, and every job key is masked by its format.
  const mask = createMask([...(await openToolSecrets(unsealer, secrets, tenant)).values()]);
  try {
    await workspaces.runSetup(sandbox, {
      commands: setup,
      untilMs: scheduledTimestampMs + timeoutMs,
      signal,
      onProgress: (progress) =>
        appendEvents(db, jobId, [{ source: sourceOf(handle.id, progress, attempt), body: mask.event(bodyOf(progress)) }]),
    });
  } finally {
    await sandbox.close();
  }
  const folders = await requireFolders(sandboxes, handle);
  try {
    await workspaces.recordBaseline(folders, startCommit, signal);
    await folders.save();
  } finally {
    await folders.close();
  }
}

/** Returns the sandbox's folders on the host, as `hostFolders` does. Throws `sandbox_lost` when they do not exist any more. */
export async function requireFolders(
  sandboxes: Sandboxes,
  handle: SandboxHandle,
  options?: Parameters<SandboxProvider['hostFolders']>[1],
): Promise<HostFolders> {
  const folders = await providerNamed(sandboxes, handle.provider).hostFolders(handle, options);
  if (folders === null) throw new ValetkeyError('sandbox_lost', 'The sandbox has no files any more.');
  return folders;
}

/**
 * Returns the source that identifies an event of a sandbox. The start and the end of a command are stored once; a piece of output is identified by attempt
 * and offset, because each attempt reads the output from its beginning.
 */
function sourceOf(sandbox: string, { type, command, ...progress }: SetupProgress, attempt: number): string {
  const step = `setup:${sandbox}:${command}:${type}`;
  return 'offset' in progress ? `${step}:${attempt}:${progress.offset}` : step;
}

function bodyOf(progress: SetupProgress): JobEventBody {
  const { command } = progress;
  switch (progress.type) {
    case 'started':
      return { type: 'setup.started', command, text: progress.text };
    case 'output':
      return { type: 'setup.output', command, output: progress.text };
    case 'ended':
      return { type: 'setup.ended', command, exitCode: progress.exitCode };
  }
}
