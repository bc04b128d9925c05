import { sql } from 'kysely';

import { deleteBlobs, readBlob, writeBlob } from './blobs.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';

/** What a checkpoint consists of: the change of the workspace since its start, the agent's commits, and its session files. */
const PARTS = ['patch', 'commits', 'session'] as const;
export type CheckpointPart = (typeof PARTS)[number];

/** The state of a job after a turn, from which another sandbox continues. */
export interface Checkpoint {
  jobId: string;
  tenant: string;
  /** The agent whose session it is. */
  agent: string;
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
 * Stores the checkpoint of a job after a turn, with its events. That of the turn before is kept, since the job may not know yet that this turn
 * ended; older ones are deleted. Idempotent. Resolves to false, and stores nothing that is found, where the start of the workspace is not
 * stored (workspace-starts.ts). One round trip where nothing was changed. Throws `database_unreachable`.
 */
export async function storeCheckpoint(
  db: Db,
  { jobId, tenant, agent, turn, startCommit, session, complete }: Checkpoint,
  parts: Record<CheckpointPart, Buffer>,
  events: readonly SourcedEvent[],
): Promise<boolean> {
  for (const part of PARTS) if (parts[part].length > 0) await writeBlob(db, keyOf(jobId, turn, part), [parts[part]]);
  const bytes = Object.values(parts).reduce((sum, { length }) => sum + length, 0);
  const { rows } = await asDatabaseError(
    sql<{ old: number[]; found: boolean }>`
      with start as (
        update workspace_starts set used_at = now() where tenant = ${tenant} and start_commit = ${startCommit} returning tenant
      ), old as (
        delete from checkpoints where job_id = ${jobId} and turn < ${turn - 1} returning turn
      ), stored as (
        insert into checkpoints (job_id, tenant, agent, turn, start_commit, session, bytes, complete)
        select ${jobId}, tenant, ${agent}, ${turn}, ${startCommit}, ${JSON.stringify(session)}::jsonb, ${bytes}, ${complete} from start
        on conflict (job_id, turn) do update
          set session = excluded.session, bytes = excluded.bytes, complete = excluded.complete, stored_at = now()
        returning ${appended(jobId, events)}
      )
      select array(select turn from old) as old, exists (select from start) as found, (select count(*) from stored)`.execute(db),
  );
  const { old = [], found = false } = rows[0] ?? {};
  for (const earlier of old) await deleteCheckpointParts(db, jobId, earlier);
  return found;
}

/** Returns the checkpoint of a job after a turn, or its last one; null where it has none. Throws `database_unreachable`. */
export async function findCheckpoint(db: Db, jobId: string, turn?: number): Promise<Checkpoint | null> {
  const all = db.selectFrom('checkpoints').selectAll().where('job_id', '=', jobId);
  const wanted = turn === undefined ? all : all.where('turn', '=', turn);
  const row = await asDatabaseError(wanted.orderBy('turn', 'desc').limit(1).executeTakeFirst());
  if (row === undefined) return null;
  const { tenant, agent, start_commit: startCommit, session, complete } = row;
  return { jobId, tenant, agent, turn: row.turn, startCommit, session, complete };
}

/**
 * Copies the last checkpoint of a job for another job of the same tenant and agent, which continues from it. Idempotent. Resolves to false where
 * there is none. Throws `database_unreachable`.
 */
export async function copyCheckpoint(
  db: Db,
  from: string,
  { jobId, tenant, agent }: Pick<Checkpoint, 'jobId' | 'tenant' | 'agent'>,
): Promise<boolean> {
  return asDatabaseError(
    db.transaction().execute(async (transaction) => {
      const { rows } = await sql<{ turn: number }>`
        select turn from checkpoints where job_id = ${from} and tenant = ${tenant} and agent = ${agent}
        order by turn desc limit 1 for share`.execute(transaction);
      const [found] = rows;
      if (found === undefined) return false;
      await sql`
        insert into checkpoints (job_id, tenant, agent, turn, start_commit, session, bytes, complete)
        select ${jobId}, tenant, agent, 0, start_commit, session, bytes, complete
        from checkpoints where job_id = ${from} and turn = ${found.turn}
        on conflict do nothing`.execute(transaction);
      for (const part of PARTS)
        await sql`
          insert into blobs (key, part, content)
          select ${keyOf(jobId, 0, part)}, part, content from blobs where key = ${keyOf(from, found.turn, part)}
          on conflict do nothing`.execute(transaction);
      return true;
    }),
  );
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
