import type { FileHandle } from 'node:fs/promises';

import { ValetkeyError } from '../contract/errors.ts';
import type { RawPath } from './raw-path.ts';

/** The part of a patch for one path. */
export interface Section {
  path: RawPath;
  /** Offset in bytes. */
  from: number;
  bytes: number;
}

const SECTION_HEADER = Buffer.from('diff --git ');
const NEWLINE = 0x0a;

/**
 * Finds the sections of a patch, in the order of `raw`, which git wrote for the same difference (`--raw -z`). Only the first line
 * of a section begins with `diff --git `: lines of text begin with a sign, and lines of binary data contain no space. Throws
 * `workspace_failed` where the two do not match.
 */
export async function patchSections(raw: Buffer, file: FileHandle): Promise<Section[]> {
  const starts = await startsOf(file);
  const { size } = await file.stat();
  const fields = raw.toString('latin1').split('\0');
  const sections: Section[] = [];
  let next = 0;
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [status = '', path = ''] = fields.slice(at, at + 2);
    const from = starts[next];
    if (from === undefined) throw sectionMismatch();
    // git writes a change of type as a removal and an addition.
    next += status.endsWith('T') ? 2 : 1;
    sections.push({ path, from, bytes: (starts[next] ?? size) - from });
  }
  if (next !== starts.length) throw sectionMismatch();
  return sections;
}

async function startsOf(file: FileHandle): Promise<number[]> {
  const starts: number[] = [];
  let offset = 0;
  let rest = Buffer.alloc(0);
  for await (const part of file.createReadStream({ autoClose: false, start: 0 })) {
    const text = Buffer.concat([rest, part]);
    for (let at = text.indexOf(SECTION_HEADER); at !== -1; at = text.indexOf(SECTION_HEADER, at + 1)) {
      if (offset + at === 0 || text[at - 1] === NEWLINE) starts.push(offset + at);
    }
    // Enough bytes stay that a header divided between two parts is found with the second one, and none twice.
    const overlap = Math.min(text.length, SECTION_HEADER.length);
    offset += text.length - overlap;
    rest = text.subarray(text.length - overlap);
  }
  return starts;
}

function sectionMismatch(): ValetkeyError {
  return new ValetkeyError('workspace_failed', 'The patch cannot be read: git did not write one section per path.');
}
