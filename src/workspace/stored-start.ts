import { createReadStream, createWriteStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { ValetkeyError } from '../contract/errors.ts';
import type { WorkspaceStart } from './bundle.ts';
import type { GitOptions } from './git.ts';
import { createRepository, type Repository } from './repository.ts';

/** The start of a workspace as it is stored: from it another sandbox begins, whatever became of the source. */
export interface StoredStart {
  startCommit: string;
  content: AsyncIterable<Buffer>;
}

/** Bytes of the number before git’s file `shallow`, which comes before the pack. */
const LENGTH_BYTES = 4;

/** Packs the objects of a start commit by way of a file in `cwd`, an empty folder of ours. Throws `workspace_failed`. */
export async function* packStart(repository: Repository, startCommit: string, cwd: string): AsyncGenerator<Buffer> {
  const pack = join(cwd, 'start.pack');
  await repository.runBytes('Packing the repository', ['pack-objects', '--revs', '--stdout', '-q'], {
    input: Buffer.from(`${startCommit}\n`),
    outputFile: pack,
  });
  const shallow = await readFile(join(repository.folder, 'shallow')).catch(() => Buffer.alloc(0));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(shallow.length);
  yield Buffer.concat([length, shallow]);
  yield* chunksOf(pack);
}

/** Unpacks a stored start in `options.cwd`, an empty folder of the host. Throws `workspace_failed` where it is not whole. */
export async function unpackStart({ startCommit, content }: StoredStart, options: GitOptions): Promise<WorkspaceStart> {
  const { cwd } = options;
  const pack = join(cwd, 'start.pack');
  const shallow = await writePack(content, pack);
  const repository = await createRepository(join(cwd, 'start.git'), startCommit.length === 64 ? 'sha256' : 'sha1', options);
  if (shallow !== null) await writeFile(join(repository.folder, 'shallow'), shallow);
  await repository.runBytes('Restoring the workspace', ['index-pack', '--stdin'], { input: chunksOf(pack) });
  await repository.run('Restoring the workspace', ['update-ref', 'refs/heads/main', startCommit]);
  return { repository, commit: startCommit, warnings: [], pack, shallow };
}

/** A stream that is not open yet cannot become the input of a process. */
async function* chunksOf(file: string): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(file)) yield Buffer.from(chunk);
}

/** Writes the pack to a file and resolves to what stands before it. */
async function writePack(content: AsyncIterable<Buffer>, file: string): Promise<Buffer | null> {
  let before: Buffer | null = null;
  let shallow: Buffer | null = null;
  async function* pack(): AsyncGenerator<Buffer> {
    for await (const chunk of content) {
      if (shallow !== null) {
        yield chunk;
        continue;
      }
      before = before === null ? chunk : Buffer.concat([before, chunk]);
      const end = before.length < LENGTH_BYTES ? Infinity : LENGTH_BYTES + before.readUInt32BE();
      if (before.length < end) continue;
      shallow = before.subarray(LENGTH_BYTES, end);
      yield before.subarray(end);
    }
  }
  await pipeline(Readable.from(pack()), createWriteStream(file));
  if (shallow === null) throw new ValetkeyError('workspace_failed', 'The start of the workspace is not stored any more.');
  const found: Buffer = shallow;
  return found.length === 0 ? null : found;
}
