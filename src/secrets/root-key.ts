import { createHash, createSecretKey, type KeyObject } from 'node:crypto';

/** What keys of jobs are derived from; the ledger names it by its id, which tells nothing of it. */
export interface RootKey {
  id: string;
  key: KeyObject;
}

const MIN_BYTES = 32;

/**
 * The root keys of a variable: at least 32 bytes in base64 each, with commas or spaces between them; the first is for new keys. Null
 * where one of them is none, or none is there.
 */
export function readRootKeys(text: string): [RootKey, ...RootKey[]] | null {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  const secrets = words.map((word) => Buffer.from(word, 'base64'));
  if (secrets.some((bytes) => bytes.length < MIN_BYTES)) return null;
  const [first, ...others] = secrets.map((bytes) => ({ id: idOf(bytes), key: createSecretKey(bytes) }));
  return first === undefined ? null : [first, ...others];
}

function idOf(bytes: Buffer): string {
  return createHash('sha256').update('valetkey root key').update(bytes).digest('hex').slice(0, 12);
}
