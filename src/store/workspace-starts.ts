import { deleteBlobs, insertBlob, readBlob } from './blobs.ts';
import { asDatabaseError, type Db } from './database.ts';

/** What workspaces of a tenant started from: a commit, whose id is that of its content. */
export interface StartKey {
  tenant: string;
  startCommit: string;
}

/**
 * Stores the objects of a start, as `packStart` writes them, unless they are stored: they never change. Of jobs that do so at the same time one
 * stores them, and the others wait for it. Throws `database_unreachable` and what `content` throws.
 */
export async function storeStart(db: Db, start: StartKey, content: AsyncIterable<Buffer>): Promise<void> {
  const row = { tenant: start.tenant, start_commit: start.startCommit };
  await asDatabaseError(
    db.transaction().execute(async (transaction) => {
      const { numInsertedOrUpdatedRows: inserted } = await transaction
        .insertInto('workspace_starts')
        .values({ ...row, bytes: 0 })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (inserted !== 1n) return;
      const bytes = await insertBlob(transaction, keyOf(start), content);
      await transaction
        .updateTable('workspace_starts')
        .set({ bytes })
        .where('tenant', '=', row.tenant)
        .where('start_commit', '=', row.start_commit)
        .execute();
    }),
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
