import { deleteBlobs, readWholeBlob, replaceBlob } from './blobs.ts';
import type { Db } from './database.ts';

/** Replaces the worker's own files of a job in a remote sandbox. Idempotent. Throws `database_unreachable`. */
export async function storeWorkerFiles(db: Db, jobId: string, content: Buffer): Promise<void> {
  await replaceBlob(db, keyOf(jobId), content);
}

/** Reads the worker's own files of a job; null where none are stored. Throws `database_unreachable`. */
export async function readWorkerFiles(db: Db, jobId: string): Promise<Buffer | null> {
  const content = await readWholeBlob(db, keyOf(jobId));
  return content.length === 0 ? null : content;
}

/** Deletes the worker's own files of jobs. Idempotent. Throws `database_unreachable`. */
export async function deleteWorkerFiles(db: Db, jobIds: readonly string[]): Promise<void> {
  await deleteBlobs(db, jobIds.map(keyOf));
}

function keyOf(jobId: string): string {
  return `worker ${jobId}`;
}
