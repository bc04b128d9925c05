import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** Bytes of one row: small enough that a worker holds only a little of a blob in memory. */
const PART_BYTES = 1024 * 1024;

/**
 * Stores bytes under a key that has none, and resolves to how many. The caller's transaction makes them visible at once. Throws
 * `database_unreachable` and what `content` throws.
 */
export async function insertBlob(db: Db, key: string, content: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<number> {
  let part = 0;
  let total = 0;
  for await (const bytes of inParts(content)) {
    await asDatabaseError(db.insertInto('blobs').values({ key, part, content: bytes }).execute());
    part += 1;
    total += bytes.length;
  }
  return total;
}

/** Stores bytes under a key, in place of what was there; of calls at the same time the last one counts. Throws `database_unreachable`. */
export async function replaceBlob(db: Db, key: string, content: Buffer): Promise<void> {
  await asDatabaseError(
    db.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(hashtextextended(${`blob ${key}`}, 0))`.execute(transaction);
      await deleteBlobs(transaction, [key]);
      await insertBlob(transaction, key, [content]);
    }),
  );
}

/** Reads all bytes under a key, as they were at one moment; empty where there are none. Throws `database_unreachable`. */
export async function readWholeBlob(db: Db, key: string): Promise<Buffer> {
  const rows = await asDatabaseError(db.selectFrom('blobs').select('content').where('key', '=', key).orderBy('part').execute());
  return Buffer.concat(rows.map(({ content }) => content));
}

/** Reads the bytes under a key, which do not change, part by part; nothing where there are none. Throws `database_unreachable`. */
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
