import { activityInfo } from '@temporalio/activity';

import { ValetkeyError } from '../contract/errors.ts';
import type { ArtifactInfo } from '../contract/result.ts';
import {
  lostWorkspace,
  OMIT_TEXTS,
  workspaceReport,
  type Omission,
  type OmitReason,
  type WorkspaceReport,
} from '../contract/workspace-report.ts';
import { providerNamed, type Sandboxes } from '../sandboxes/index.ts';
import type { HostFolders } from '../sandboxes/sandbox.ts';
import { deleteArtifact, listArtifacts, storeArtifact } from '../store/artifacts.ts';
import type { Database } from '../store/database.ts';
import { appendEvents, eventOf, type SourcedEvent } from '../store/events.ts';
import { readTurnMessage } from '../store/turns.ts';
import type { ArtifactCollector } from '../workspace/collect.ts';
import type { Workspaces } from '../workspace/index.ts';
import type { StartedSandbox, StoppedSandbox, StopSandboxInput } from './contracts.ts';

const MIB = 1024 * 1024;
/** Bytes of the patch, and of each file. */
const MAX_ARTIFACT_BYTES = 10 * MIB;
/** Bytes of all artifacts of a job. */
const MAX_ARTIFACTS_BYTES = 50 * MIB;
/** Files that are not collected within this time are reported as missing. */
const COLLECT_TIMEOUT_MS = 4 * 60_000;
/** Attempts to collect from a sandbox provider that does not answer. */
const MAX_COLLECT_ATTEMPTS = 5;

export interface CollectDeps {
  database: Pick<Database, 'db'>;
  sandboxes: Sandboxes;
  workspaces: Pick<Workspaces, 'openArtifacts'>;
}

/**
 * Stops the processes of a sandbox and stores the job's artifacts: its last message, the patch and the files that it names. Idempotent: what
 * an earlier attempt stored stays, because the files may not exist any more. The patch and the files are stored unmasked: they are the
 * tenant's own work. What cannot be collected is listed in warnings and in the result, and does not delay the end of the sandbox. Throws
 * `database_unreachable`.
 */
export async function collectArtifacts(
  deps: CollectDeps,
  started: StartedSandbox | null,
  input: StopSandboxInput,
): Promise<StoppedSandbox> {
  const { db } = deps.database;
  const { jobId, lastTurn } = input;
  // A job has several sandboxes where one was lost or the job hibernated.
  const source = `workspace:${started?.handle.id ?? jobId}`;
  if (activityInfo().attempt > 1) {
    const earlier = await eventOf(db, jobId, source);
    if (earlier?.type === 'workspace.collected') {
      const { complete, omitted, more } = earlier;
      return { artifacts: await listArtifacts(db, jobId), workspace: { complete, omitted, more } };
    }
  }
  const artifacts = new Map<string, ArtifactInfo>();
  const store: Store = {
    free: () => Math.min(MAX_ARTIFACT_BYTES, MAX_ARTIFACTS_BYTES - [...artifacts.values()].reduce((sum, { bytes }) => sum + bytes, 0)),
    add: async (name, content) => void artifacts.set(name, await storeArtifact(db, jobId, name, content)),
    remove: async (name) => deleteArtifact(db, jobId, name),
  };
  const message = await readTurnMessage(db, jobId, lastTurn);
  if (message !== '') await store.add('message', Buffer.from(message));
  const { workspace, warnings } = started === null ? NO_WORKSPACE : await collectFiles(deps, started, input, store);
  const stored = activityInfo().attempt === 1 ? [...artifacts.values()] : await listArtifacts(db, jobId);
  await appendEvents(db, jobId, [
    ...stored.map((artifact): SourcedEvent => ({
      source: `artifact:${artifact.name}:${artifact.sha256}`,
      body: { type: 'artifact', ...artifact },
    })),
    ...warnings.map((body): SourcedEvent => ({ source: `artifact:${body.message}`, body })),
    { source, body: { type: 'workspace.collected', ...workspace } },
  ]);
  return { artifacts: stored, workspace };
}

interface Store {
  /** Returns the bytes that the next artifact may have. */
  free(): number;
  add(name: string, content: Buffer): Promise<void>;
  /** Removes what an earlier sandbox of the job left under a name. */
  remove(name: string): Promise<void>;
}

interface Collected {
  workspace: WorkspaceReport;
  warnings: Warning[];
}

interface Warning {
  type: 'warning';
  code: string;
  message: string;
}

/** The result when the sandbox never started, so that no agent ran. */
const NO_WORKSPACE: Collected = { workspace: workspaceReport([]), warnings: [] };

async function collectFiles(
  { sandboxes, workspaces }: CollectDeps,
  { handle, startCommit }: StartedSandbox,
  { artifacts }: StopSandboxInput,
  store: Store,
): Promise<Collected> {
  const provider = providerNamed(sandboxes, handle.provider);
  const signal = AbortSignal.timeout(COLLECT_TIMEOUT_MS);
  let folders: HostFolders | null = null;
  let work: ArtifactCollector | null = null;
  try {
    folders = await provider.halt(handle);
    if (folders === null) return nothingCollected('sandbox_lost');
    work = await workspaces.openArtifacts(folders, startCommit, signal);
    const patch = await work.collectPatch(store.free());
    // Another attempt may have been removing the files meanwhile; then the patch is not the agent's work.
    if (!(await folders.isWhole())) return nothingCollected('sandbox_lost');
    if (patch.content.length > 0) await store.add('patch', patch.content);
    else await store.remove('patch');
    const files: Omission[] = [];
    const connection = provider.connect(handle);
    const inside = connection.paths.workspace;
    await connection.close();
    for (const file of new Set(artifacts)) {
      const taken = await work.collectFile(file, inside, store.free());
      if ('content' in taken) await store.add(`files/${file}`, taken.content);
      else files.push({ path: `files/${file}`, reason: taken.reason, files: 1 });
    }
    const omitted = [...files, ...patch.omitted];
    return { workspace: workspaceReport(omitted), warnings: warningsOf(omitted) };
  } catch (error) {
    if (ValetkeyError.is(error) && error.code === 'database_unreachable') throw error;
    // A provider that does not answer now may answer the next attempt, and the agent's work is still there.
    if (ValetkeyError.is(error) && error.code === 'sandbox_provider_unreachable' && activityInfo().attempt < MAX_COLLECT_ATTEMPTS)
      throw error;
    if (signal.aborted) return nothingCollected('timeout');
    return nothingCollected('failed', ValetkeyError.is(error) ? error.message : undefined);
  } finally {
    await work?.close();
    await folders?.close();
  }
}

function nothingCollected(reason: OmitReason, message = OMIT_TEXTS[reason]): Collected {
  return { workspace: lostWorkspace(reason), warnings: [{ type: 'warning', code: 'workspace_failed', message: `patch: ${message}` }] };
}

function warningsOf(omitted: readonly Omission[]): Warning[] {
  const { omitted: named, more } = workspaceReport(omitted);
  const warnings = named.map(({ path, reason, files }): Warning => {
    const many = files > 1 ? ` (${files} files)` : '';
    return {
      type: 'warning',
      code: reason === 'too_large' ? 'artifact_too_large' : 'workspace_failed',
      message: `${path}${many}: ${path.startsWith('files/') && reason === 'too_large' ? FILE_TOO_LARGE : OMIT_TEXTS[reason]}`,
    };
  });
  if (more === 0) return warnings;
  return [...warnings, { type: 'warning', code: 'workspace_failed', message: `${more} more files of the workspace were not collected.` }];
}

const FILE_TOO_LARGE = `it is larger than ${MAX_ARTIFACT_BYTES / MIB} MiB, or the artifacts of the job than ${MAX_ARTIFACTS_BYTES / MIB} MiB together`;
