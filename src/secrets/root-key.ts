import { createHash } from 'node:crypto';

/** What keys of jobs are derived from; the ledger names it by its id, which tells nothing of it. */
export interface RootKey {
  id: string;
  bytes: Buffer;
}

const MIN_BYTES = 32;

/**
 * The root keys of a variable: at least 32 bytes in base64 each, with commas or spaces between them; the first is for new keys. Null
 * where one of them is none, or none is there.
 */
export function readRootKeys(text: string): [RootKey, ...RootKey[]] | null {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  const [first, ...others] = words.map((word) => Buffer.from(word, 'base64')).map((bytes) => ({ id: idOf(bytes), bytes }));
  if (first === undefined || [first, ...others].some(({ bytes }) => bytes.length < MIN_BYTES)) return null;
  return [first, ...others];
}

function idOf(bytes: Buffer): string {
  return createHash('sha256').update('valetkey root key').update(bytes).digest('hex').slice(0, 12);
}
