import { createHash } from 'node:crypto';

import type { HostFolder } from './host-folder.ts';
import type { RawPath } from './raw-path.ts';
import type { ObjectFormat } from './repository.ts';
import { readEntry, type SnapshotEntry } from './snapshot.ts';

/** Below this size a stream costs more time than it saves memory. */
const SMALL_BYTES = 1024 * 1024;

/** Computes git’s id of a content. */
export function blobId(content: Uint8Array, format: ObjectFormat): string {
  return createHash(format).update(`blob ${content.length}\0`).update(content).digest('hex');
}

/** Computes git’s id of a file without holding its content in memory, or of a link’s text. Throws the system’s error. */
export async function entryId(folder: HostFolder, path: RawPath, { mode, bytes }: SnapshotEntry, format: ObjectFormat): Promise<string> {
  if (mode === '120000') return blobId(folder.readLink(path), format);
  if (bytes <= SMALL_BYTES) return blobId(await readEntry(folder, path, { mode, bytes }), format);
  const hash = createHash(format).update(`blob ${bytes}\0`);
  await using file = await folder.openFile(path);
  const parts: AsyncIterable<Buffer> = file.createReadStream({ autoClose: false });
  for await (const part of parts) hash.update(part);
  return hash.digest('hex');
}
