import { createHash } from 'node:crypto';

import type { Artifact, ArtifactInfo } from '../contract/result.ts';
import { isStorable } from '../contract/text.ts';
import { asDatabaseError, type Db } from './database.ts';

/** Stores an artifact of a job; a repeat replaces it. Throws `database_unreachable`. */
export async function storeArtifact(db: Db, jobId: string, name: string, content: Buffer): Promise<ArtifactInfo> {
  const info = { name, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
  await asDatabaseError(
    db
      .insertInto('artifacts')
      .values({ job_id: jobId, ...info, content })
      .onConflict((conflict) => conflict.columns(['job_id', 'name']).doUpdateSet({ ...info, content }))
      .execute(),
  );
  return info;
}

/** Deletes an artifact of a job. Idempotent. Throws `database_unreachable`. */
export async function deleteArtifact(db: Db, jobId: string, name: string): Promise<void> {
  await asDatabaseError(db.deleteFrom('artifacts').where('job_id', '=', jobId).where('name', '=', name).execute());
}

/** Lists the artifacts of a job by name, without their content. Throws `database_unreachable`. */
export async function listArtifacts(db: Db, jobId: string): Promise<ArtifactInfo[]> {
  return asDatabaseError(
    db.selectFrom('artifacts').select(['name', 'bytes', 'sha256']).where('job_id', '=', jobId).orderBy('name').execute(),
  );
}

/** Reads an artifact; null where the job has none of that name. Throws `database_unreachable`. */
export async function readArtifact(db: Db, jobId: string, name: string): Promise<Artifact | null> {
  if (!isStorable(name)) return null;
  const row = await asDatabaseError(
    db
      .selectFrom('artifacts')
      .select(['name', 'bytes', 'sha256', 'content'])
      .where('job_id', '=', jobId)
      .where('name', '=', name)
      .executeTakeFirst(),
  );
  return row ?? null;
}
