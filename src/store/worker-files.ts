import { deleteBlobs, readBlob, writeBlob } from './blobs.ts';
import type { Db } from './database.ts';

/** Replaces the worker's own files of a job in a remote sandbox. Idempotent. Throws `database_unreachable`. */
export async function storeWorkerFiles(db: Db, jobId: string, content: Buffer): Promise<void> {
  await writeBlob(db, keyOf(jobId), [content]);
}

/** Reads the worker's own files of a job; null where none are stored. Throws `database_unreachable`. */
export async function readWorkerFiles(db: Db, jobId: string): Promise<Buffer | null> {
  const parts: Buffer[] = [];
  for await (const part of readBlob(db, keyOf(jobId))) parts.push(part);
  return parts.length === 0 ? null : Buffer.concat(parts);
}

/** Deletes the worker's own files of jobs. Idempotent. Throws `database_unreachable`. */
export async function deleteWorkerFiles(db: Db, jobIds: readonly string[]): Promise<void> {
  await deleteBlobs(db, jobIds.map(keyOf));
}

function keyOf(jobId: string): string {
  return `worker ${jobId}`;
}
