import { createHash } from 'node:crypto';

import type { ArtifactInfo } from '../job/result.ts';
import { asDatabaseError, type Db } from './database.ts';

/** Stores what came out of a job under a name; a repeat replaces it. */
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

/** The content of an artifact; null where the job has none of that name. */
export async function readArtifact(db: Db, jobId: string, name: string): Promise<Buffer | null> {
  const row = await asDatabaseError(
    db.selectFrom('artifacts').select('content').where('job_id', '=', jobId).where('name', '=', name).executeTakeFirst(),
  );
  return row?.content ?? null;
}
