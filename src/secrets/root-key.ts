import { createHash, createSecretKey, type KeyObject } from 'node:crypto';

/** The secret that job keys are derived from. The ledger names it by its id, a hash that reveals nothing about it. */
export interface RootKey {
  id: string;
  key: KeyObject;
}

const MIN_ROOT_KEY_BYTES = 32;

/**
 * Reads the root keys of an environment variable: at least 32 bytes in base64 each, separated by commas or spaces; new keys are derived
 * from the first. Null when one of them is invalid, or there is none.
 */
export function readRootKeys(text: string): [RootKey, ...RootKey[]] | null {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  const secrets = words.map((word) => Buffer.from(word, 'base64'));
  if (secrets.some((bytes) => bytes.length < MIN_ROOT_KEY_BYTES)) return null;
  const [first, ...others] = secrets.map((bytes) => ({ id: idOf(bytes), key: createSecretKey(bytes) }));
  return first === undefined ? null : [first, ...others];
}

function idOf(bytes: Buffer): string {
  return createHash('sha256').update('valetkey root key').update(bytes).digest('hex').slice(0, 12);
}
