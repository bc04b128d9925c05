import { sql } from 'kysely';

import { deleteBlobs, readBlob, writeBlob } from './blobs.ts';
import { asDatabaseError, type Db } from './database.ts';

/** What a checkpoint consists of: the change of the workspace since its start, the agent's commits, and its session files. */
const PARTS = ['patch', 'commits', 'session'] as const;
export type CheckpointPart = (typeof PARTS)[number];

/** The state of a job after a turn, from which another sandbox continues. */
export interface Checkpoint {
  jobId: string;
  tenant: string;
  /** The turn after which it was stored. */
  turn: number;
  /** The commit that the workspace started from; its objects are stored once per tenant. */
  startCommit: string;
  /** The state of the session, from which the next turn resumes. */
  session: unknown;
  /** Whether it holds all that the agent changed. */
  complete: boolean;
}

/**
 * Stores the checkpoint of a job in place of an older one; one of a later turn stays. Idempotent. Throws `database_unreachable`.
 */
export async function storeCheckpoint(db: Db, checkpoint: Checkpoint, parts: Record<CheckpointPart, Buffer>): Promise<void> {
  const { jobId, tenant, turn, startCommit, session, complete } = checkpoint;
  for (const part of PARTS) await writeBlob(db, keyOf(jobId, turn, part), [parts[part]]);
  const bytes = Object.values(parts).reduce((sum, { length }) => sum + length, 0);
  const row = { tenant, turn, start_commit: startCommit, session: JSON.stringify(session), bytes, complete, stored_at: sql<Date>`now()` };
  const replaced = await asDatabaseError(
    db.transaction().execute(async (transaction) => {
      const earlier = await transaction.selectFrom('checkpoints').select('turn').where('job_id', '=', jobId).forUpdate().executeTakeFirst();
      if (earlier !== undefined && earlier.turn > turn) return turn;
      await transaction
        .insertInto('checkpoints')
        .values({ job_id: jobId, ...row })
        .onConflict((conflict) => conflict.column('job_id').doUpdateSet(row))
        .execute();
      return earlier === undefined || earlier.turn === turn ? null : earlier.turn;
    }),
  );
  if (replaced !== null) await deleteCheckpointParts(db, jobId, replaced);
}

/** Returns the last checkpoint of a job; null where it has none. Throws `database_unreachable`. */
export async function findCheckpoint(db: Db, jobId: string): Promise<Checkpoint | null> {
  const row = await asDatabaseError(db.selectFrom('checkpoints').selectAll().where('job_id', '=', jobId).executeTakeFirst());
  if (row === undefined) return null;
  const { tenant, turn, start_commit: startCommit, session, complete } = row;
  return { jobId, tenant, turn, startCommit, session, complete };
}

/** Reads a part of a checkpoint; empty where it has none. Throws `database_unreachable`. */
export async function readCheckpointPart(db: Db, { jobId, turn }: Checkpoint, part: CheckpointPart): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readBlob(db, keyOf(jobId, turn, part))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Deletes what a checkpoint consists of. Idempotent. Throws `database_unreachable`. */
export async function deleteCheckpointParts(db: Db, jobId: string, turn: number): Promise<void> {
  await deleteBlobs(
    db,
    PARTS.map((part) => keyOf(jobId, turn, part)),
  );
}

function keyOf(jobId: string, turn: number, part: CheckpointPart): string {
  return `checkpoint ${jobId} ${turn} ${part}`;
}
