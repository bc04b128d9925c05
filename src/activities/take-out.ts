import { activityInfo } from '@temporalio/activity';

import { ValetkeyError } from '../job/errors.ts';
import type { ArtifactInfo } from '../job/result.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { Session } from '../session/index.ts';
import { listArtifacts, storeArtifact } from '../store/artifacts.ts';
import type { Database } from '../store/database.ts';
import { appendEvents, type SourcedEvent } from '../store/events.ts';
import { readTurnMessage } from '../store/turns.ts';
import type { StartedSandbox, StopSandboxInput } from './contracts.ts';

const MIB = 1024 * 1024;
/** Bytes: the patch, and each file. */
const MAX_ARTIFACT_BYTES = 10 * MIB;
/** Bytes of all artifacts of a job together. */
const MAX_JOB_BYTES = 50 * MIB;
/** A sandbox that does not give its work out in this time is ended without the rest. */
const TAKE_OUT_MS = 60_000;

export interface TakeOutDeps {
  database: Pick<Database, 'db'>;
  sandboxes: Sandboxes;
  session: Pick<Session, 'takePatch' | 'takeFile'>;
}

/** Its content, and null where it is longer than `maxBytes`. */
type Take = (maxBytes: number) => Promise<Buffer | null>;

/**
 * Stores what a job made: its last message, the patch, the files that it names. Repeatable: what an earlier attempt stored
 * stays, since the sandbox may be gone by now. Patch and files are stored as they are: they are the tenant's own work.
 * What cannot be had is told by a warning among the events, and the rest is kept: nothing of it keeps the sandbox from its end.
 * Throws `database_unreachable`.
 */
export async function takeOut(
  { database: { db }, sandboxes, session }: TakeOutDeps,
  { handle, startCommit }: StartedSandbox,
  { jobId, artifacts, lastTurn }: StopSandboxInput,
): Promise<ArtifactInfo[]> {
  const sandbox = sandboxes[handle.provider].connect(handle);
  const signal = AbortSignal.timeout(TAKE_OUT_MS);
  const outputs = new Map<string, Take>([
    ['message', async () => Buffer.from(await readTurnMessage(db, jobId, lastTurn))],
    ['patch', (maxBytes) => session.takePatch(sandbox, startCommit, maxBytes, signal)],
    ...artifacts.map((file): [string, Take] => [`files/${file}`, (maxBytes) => session.takeFile(sandbox, file, maxBytes, signal)]),
  ]);
  const stored = activityInfo().attempt === 1 ? [] : await listArtifacts(db, jobId);
  const warnings: SourcedEvent[] = [];
  try {
    for (const [name, take] of outputs) {
      if (stored.some((artifact) => artifact.name === name)) continue;
      try {
        const content = await takeCapped(take, MAX_JOB_BYTES - totalBytes(stored));
        // That nothing was said or changed is no artifact; a file may be empty.
        if (content.length > 0 || name.startsWith('files/')) stored.push(await storeArtifact(db, jobId, name, content));
      } catch (error) {
        if (ValetkeyError.is(error) && error.code === 'database_unreachable') throw error;
        const { code, message: why } = ValetkeyError.is(error) ? error : new ValetkeyError('workspace_failed', 'it could not be taken out');
        warnings.push({ source: `artifact:${name}:${code}`, body: { type: 'warning', code, message: `${name}: ${why}` } });
      }
    }
  } finally {
    await sandbox.close();
  }
  const events = stored.map((artifact): SourcedEvent => ({
    source: `artifact:${artifact.name}:${artifact.sha256}`,
    body: { type: 'artifact', ...artifact },
  }));
  await appendEvents(db, jobId, [...events, ...warnings]);
  return stored;
}

async function takeCapped(take: Take, leftBytes: number): Promise<Buffer> {
  const content = await take(Math.min(MAX_ARTIFACT_BYTES, leftBytes));
  if (content !== null) return content;
  const why =
    leftBytes < MAX_ARTIFACT_BYTES
      ? `the artifacts of a job may have ${MAX_JOB_BYTES / MIB} MiB`
      : `it is larger than ${MAX_ARTIFACT_BYTES / MIB} MiB`;
  throw new ValetkeyError('artifact_too_large', why);
}

function totalBytes(artifacts: readonly ArtifactInfo[]): number {
  return artifacts.reduce((sum, { bytes }) => sum + bytes, 0);
}
