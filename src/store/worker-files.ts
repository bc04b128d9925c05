import { asDatabaseError, type Db } from './database.ts';

/** One row and one message to Postgres. */
const PART_BYTES = 4 * 1024 * 1024;

/** A remote sandbox of a job. */
export interface RemoteSandbox {
  jobId: string;
  id: string;
}

/** Replaces the worker's own files of a sandbox. Idempotent. Throws `database_unreachable`. */
export async function storeWorkerFiles(db: Db, { jobId, id }: RemoteSandbox, content: Buffer): Promise<void> {
  await asDatabaseError(
    db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('worker_files').where('job_id', '=', jobId).where('sandbox', '=', id).execute();
      for (let part = 0; part * PART_BYTES < content.length; part += 1) {
        const piece = content.subarray(part * PART_BYTES, (part + 1) * PART_BYTES);
        await transaction.insertInto('worker_files').values({ job_id: jobId, sandbox: id, part, content: piece }).execute();
      }
    }),
  );
}

/** Reads the worker's own files of a sandbox; null where none are stored. Throws `database_unreachable`. */
export async function readWorkerFiles(db: Db, { jobId, id }: RemoteSandbox): Promise<Buffer | null> {
  const rows = await asDatabaseError(
    db.selectFrom('worker_files').select('content').where('job_id', '=', jobId).where('sandbox', '=', id).orderBy('part').execute(),
  );
  return rows.length === 0 ? null : Buffer.concat(rows.map(({ content }) => content));
}

/** Deletes the worker's own files of a job. Idempotent. Throws `database_unreachable`. */
export async function deleteWorkerFiles(db: Db, jobId: string): Promise<void> {
  await asDatabaseError(db.deleteFrom('worker_files').where('job_id', '=', jobId).execute());
}
