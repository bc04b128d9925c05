import { deleteBlobs, readBlob, writeBlob } from './blobs.ts';
import { asDatabaseError, type Db } from './database.ts';

/** What workspaces of a tenant started from: a commit, whose id is that of its content. */
export interface StartKey {
  tenant: string;
  startCommit: string;
}

/** Stores the objects of a start, as `packStart` writes them. Idempotent. Throws `database_unreachable` and what `content` throws. */
export async function storeStart(db: Db, start: StartKey, content: AsyncIterable<Buffer>): Promise<void> {
  const { tenant, startCommit } = start;
  const bytes = await writeBlob(db, keyOf(start), content);
  await asDatabaseError(
    db
      .insertInto('workspace_starts')
      .values({ tenant, start_commit: startCommit, bytes })
      .onConflict((conflict) => conflict.doNothing())
      .execute(),
  );
}

/** Reads the objects of a start, part by part; nothing where they are not stored. Throws `database_unreachable`. */
export function readStart(db: Db, start: StartKey): AsyncGenerator<Buffer> {
  return readBlob(db, keyOf(start));
}

/** Deletes the objects of a start. Idempotent. Throws `database_unreachable`. */
export async function deleteStartContent(db: Db, start: StartKey): Promise<void> {
  await deleteBlobs(db, [keyOf(start)]);
}

function keyOf({ tenant, startCommit }: StartKey): string {
  return `start ${tenant} ${startCommit}`;
}
