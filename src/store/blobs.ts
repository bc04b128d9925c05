import { asDatabaseError, type Db } from './database.ts';

/** Bytes of one row: small enough that a worker holds only a little of a blob in memory. */
const PART_BYTES = 1024 * 1024;

/** Stores bytes under a key, in place of what was there, and resolves to how many. One transaction. Throws `database_unreachable` and what `content` throws. */
export async function writeBlob(db: Db, key: string, content: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<number> {
  return asDatabaseError(
    db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('blobs').where('key', '=', key).execute();
      let part = 0;
      let total = 0;
      for await (const bytes of inParts(content)) {
        await transaction.insertInto('blobs').values({ key, part, content: bytes }).execute();
        part += 1;
        total += bytes.length;
      }
      return total;
    }),
  );
}

/** Reads the bytes under a key, part by part; nothing where there are none. Throws `database_unreachable`. */
export async function* readBlob(db: Db, key: string): AsyncGenerator<Buffer> {
  for (let part = 0; ; part += 1) {
    const row = await asDatabaseError(
      db.selectFrom('blobs').select('content').where('key', '=', key).where('part', '=', part).executeTakeFirst(),
    );
    if (row === undefined) return;
    yield row.content;
  }
}

/** Deletes the bytes under these keys. Idempotent. Throws `database_unreachable`. */
export async function deleteBlobs(db: Db, keys: readonly string[]): Promise<void> {
  if (keys.length > 0) await asDatabaseError(db.deleteFrom('blobs').where('key', 'in', keys).execute());
}

async function* inParts(content: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of content) {
    rest.push(chunk);
    bytes += chunk.length;
    if (bytes < PART_BYTES) continue;
    const all = Buffer.concat(rest);
    let at = 0;
    for (; all.length - at >= PART_BYTES; at += PART_BYTES) yield all.subarray(at, at + PART_BYTES);
    rest = [all.subarray(at)];
    bytes = all.length - at;
  }
  if (bytes > 0) yield Buffer.concat(rest);
}
