import { ValetkeyError } from '../../contract/errors.ts';

const BLOCK = 512;
/** The size of one path or link target. */
const MAX_NAME_BYTES = 16 * 1024;

/** An entry of an archive. `latin1`: one character per byte. */
export interface TarEntry {
  /** Path, latin1. */
  path: string;
  kind: 'file' | 'folder' | 'link' | 'other';
  isExecutable: boolean;
  bytes: number;
  /** Target of a symbolic link, latin1. */
  target: string;
}

/** A part of an archive: an entry, then the pieces of its content. */
export type TarPart = { entry: TarEntry } | { content: Buffer };

/**
 * Parses an archive in GNU format, as `tar --format=gnu --hard-dereference` writes it. It trusts nothing in it: what it does not
 * know is an entry of the kind `other`. Throws `workspace_failed` where it is damaged.
 */
export async function* tarEntries(archive: AsyncIterable<Uint8Array>): AsyncGenerator<TarPart, void> {
  const input = new BlockReader(archive);
  const long: { path?: string; target?: string } = {};
  for (;;) {
    const header = await input.read(BLOCK);
    if (header.every((byte) => byte === 0)) return;
    const bytes = sizeOf(header);
    const type = String.fromCharCode(header[156] ?? 0);
    if (type === 'L' || type === 'K') {
      if (bytes > MAX_NAME_BYTES) throw damaged();
      long[type === 'L' ? 'path' : 'target'] = textOf(await input.read(bytes));
      await input.read(padding(bytes));
      continue;
    }
    const kind = KINDS[type] ?? 'other';
    const hasContent = kind === 'file' || kind === 'other';
    const path = (long.path ?? textOf(header.subarray(0, 100))).replace(/^(\.\/)+/, '').replace(/\/+$/, '');
    const target = long.target ?? textOf(header.subarray(157, 257));
    const isExecutable = (Number.parseInt(textOf(header.subarray(100, 108)), 8) & 0o100) !== 0;
    delete long.path;
    delete long.target;
    yield { entry: { path, kind, isExecutable, bytes: hasContent ? bytes : 0, target } };
    for (let left = hasContent ? bytes : 0; left > 0;) {
      const content = await input.readSome(left);
      left -= content.length;
      yield { content };
    }
    if (hasContent) await input.read(padding(bytes));
  }
}

const KINDS: Readonly<Record<string, TarEntry['kind']>> = { '0': 'file', '\0': 'file', '5': 'folder', '2': 'link' };

/** Reads the size: octal digits, or, with the highest bit set, a binary number. */
function sizeOf(header: Buffer): number {
  const field = header.subarray(124, 136);
  const size = (field[0] ?? 0) & 0x80 ? Number(field.readBigUInt64BE(4)) : Number.parseInt(textOf(field).trim(), 8);
  if (!Number.isSafeInteger(size) || size < 0) throw damaged();
  return size;
}

function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? field.length : end).toString('latin1');
}

const padding = (bytes: number): number => (BLOCK - (bytes % BLOCK)) % BLOCK;

function damaged(): ValetkeyError {
  return new ValetkeyError('workspace_failed', 'The archive of the workspace is damaged.');
}

class BlockReader {
  readonly #input: AsyncIterator<Uint8Array>;
  #buffer: Buffer = Buffer.alloc(0);

  constructor(input: AsyncIterable<Uint8Array>) {
    this.#input = input[Symbol.asyncIterator]();
  }

  /** Reads exactly so many bytes. */
  async read(bytes: number): Promise<Buffer> {
    while (this.#buffer.length < bytes) await this.#fill();
    return this.#take(bytes);
  }

  /** Reads at least one byte, and `most` at most. */
  async readSome(most: number): Promise<Buffer> {
    if (this.#buffer.length === 0) await this.#fill();
    return this.#take(Math.min(most, this.#buffer.length));
  }

  async #fill(): Promise<void> {
    const next = await this.#input.next();
    if (next.done === true) throw damaged();
    this.#buffer = Buffer.concat([this.#buffer, next.value]);
  }

  #take(bytes: number): Buffer {
    const taken = this.#buffer.subarray(0, bytes);
    this.#buffer = this.#buffer.subarray(bytes);
    return taken;
  }
}
