import type { FileHandle } from 'node:fs/promises';

import { ValetkeyError } from '../contract/errors.ts';
import type { RawPath } from './raw-path.ts';

/** The part of a patch that is about one path. */
export interface Section {
  path: RawPath;
  /** Offset in bytes. */
  from: number;
  bytes: number;
}

const HEAD = Buffer.from('diff --git ');
const NEWLINE = 0x0a;

/**
 * The sections of a patch in the order of `raw`, which git wrote for the same difference (`--raw -z`). No line of a patch but
 * the first of a section begins with its words: those of texts begin with a sign, those of binaries hold no space. Throws
 * `workspace_failed` where the two do not agree.
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
    if (from === undefined) throw disagreement();
    // A change of type is a removal and an addition.
    next += status.endsWith('T') ? 2 : 1;
    sections.push({ path, from, bytes: (starts[next] ?? size) - from });
  }
  if (next !== starts.length) throw disagreement();
  return sections;
}

async function startsOf(file: FileHandle): Promise<number[]> {
  const starts: number[] = [];
  let offset = 0;
  let rest = Buffer.alloc(0);
  for await (const part of file.createReadStream({ autoClose: false, start: 0 })) {
    const text = Buffer.concat([rest, part]);
    for (let at = text.indexOf(HEAD); at !== -1; at = text.indexOf(HEAD, at + 1)) {
      if (offset + at === 0 || text[at - 1] === NEWLINE) starts.push(offset + at);
    }
    // So much that a head which is cut in two is found with the next part, and none twice.
    const keep = Math.min(text.length, HEAD.length);
    offset += text.length - keep;
    rest = text.subarray(text.length - keep);
  }
  return starts;
}

function disagreement(): ValetkeyError {
  return new ValetkeyError('workspace_failed', 'The patch could not be read: git did not write a section for each path.');
}
