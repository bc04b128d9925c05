import { sql } from 'kysely';

import { deleteBlobs, insertBlob, readWholeBlob } from './blobs.ts';
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

/** `no_start`: the start of the workspace is not stored (workspace-starts.ts). `given_up`: the job has gone on in another sandbox. */
export type StoredCheckpoint = 'stored' | 'no_start' | 'given_up';

/**
 * Stores the checkpoint of a job after a turn in a sandbox, with its events. That of the turn before is kept, since the job may not know yet that
 * this turn ended; older ones are deleted. Idempotent; what is not `stored` has no effect. One round trip where nothing was changed. Throws
 * `database_unreachable`.
 */
export async function storeCheckpoint(
  db: Db,
  sandbox: string,
  checkpoint: Checkpoint,
  parts: Record<CheckpointPart, Buffer>,
  events: readonly SourcedEvent[],
): Promise<StoredCheckpoint> {
  const { jobId, turn } = checkpoint;
  const changed = PARTS.filter((part) => parts[part].length > 0);
  const bytes = changed.reduce((sum, part) => sum + parts[part].length, 0);
  const store = async (on: Db): Promise<StoredCheckpoint> => {
    const stored = await replaceCheckpoint(on, sandbox, checkpoint, bytes, events);
    if (stored === 'stored') for (const part of changed) await insertBlob(on, keyOf(jobId, turn, part), [parts[part]]);
    return stored;
  };
  if (changed.length === 0) return asDatabaseError(store(db));
  return asDatabaseError(
    db.transaction().execute(async (transaction) => {
      // A statement does not see the parts that another attempt has stored since it began.
      await sql`select pg_advisory_xact_lock(hashtextextended(${`checkpoint ${jobId}`}, 0))`.execute(transaction);
      return store(transaction);
    }),
  );
}

/**
 * Writes the row and removes the parts of what it replaces. The use of the start is noted once a day:
 * noted each time, the jobs of a tenant would wait for each other.
 */
async function replaceCheckpoint(
  db: Db,
  sandbox: string,
  { jobId, tenant, agent, turn, startCommit, session, complete }: Checkpoint,
  bytes: number,
  events: readonly SourcedEvent[],
): Promise<StoredCheckpoint> {
  const { rows } = await sql<{ has_start: boolean; is_given_up: boolean }>`
    with start as (
      select tenant from workspace_starts where tenant = ${tenant} and start_commit = ${startCommit}
    ), used as (
      update workspace_starts set used_at = now()
      where tenant = ${tenant} and start_commit = ${startCommit} and used_at < now() - interval '1 day'
    ), given_up as (
      select id from sandboxes where job_id = ${jobId} and id = ${sandbox} and lost_at is not null
    ), stored as (
      insert into checkpoints (job_id, tenant, agent, turn, start_commit, session, bytes, complete)
      select ${jobId}, tenant, ${agent}, ${turn}, ${startCommit}, ${JSON.stringify(session)}::jsonb, ${bytes}, ${complete} from start
      where not exists (select from given_up)
      on conflict (job_id, turn) do update
        set session = excluded.session, bytes = excluded.bytes, complete = excluded.complete, stored_at = now()
      returning turn, ${appended(jobId, events)}
    ), old as (
      delete from checkpoints where job_id = ${jobId} and turn < (select turn from stored) - 1 returning turn
    ), replaced as (
      delete from blobs using (select turn from stored union select turn from old) as gone, unnest(${[...PARTS]}::text[]) as parts (name)
      where key = 'checkpoint ' || ${jobId}::text || ' ' || gone.turn || ' ' || parts.name
    )
    select exists (select from start) as has_start, exists (select from given_up) as is_given_up, (select count(*) from stored)`.execute(
    db,
  );
  const [row] = rows;
  if (row?.is_given_up === true) return 'given_up';
  return row?.has_start === true ? 'stored' : 'no_start';
}

/** Returns the checkpoint of a job after a turn; null where none is stored. Throws `database_unreachable`. */
export async function findCheckpoint(db: Db, jobId: string, turn: number): Promise<Checkpoint | null> {
  const row = await asDatabaseError(
    db.selectFrom('checkpoints').selectAll().where('job_id', '=', jobId).where('turn', '=', turn).executeTakeFirst(),
  );
  if (row === undefined) return null;
  const { tenant, agent, start_commit: startCommit, session, complete } = row;
  return { jobId, tenant, agent, turn, startCommit, session, complete };
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
        order by stored_at desc limit 1 for share`.execute(transaction);
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
  return readWholeBlob(db, keyOf(jobId, turn, part));
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
