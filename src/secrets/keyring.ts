import { createSecretKey } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import { readRingFile, stampOf, type RingContent } from './keyring-file.ts';
import { learnSecret } from './redact.ts';
import { readRootKeys, type RootKey } from './root-key.ts';
import { readPrivateKeys, type PrivateSealingKey } from './sealing-key.ts';
import { Secret } from './secret.ts';

/** The keys of a process, as they are now. The first of each is for what is new. */
export interface Keyring {
  readonly rootKeys: readonly RootKey[];
  readonly sealingKeys: readonly PrivateSealingKey[];
}

/** Where the keys of a process come from: a file, or else the variables. */
export interface RingSource {
  keyringPath: string | undefined;
  rootKey: Secret | undefined;
  sealingKey: Secret | undefined;
}

/**
 * The keys that the variables hold, or those of the file, which is looked at whenever they are asked for: a rotation holds from then
 * on. A file that has become unreadable leaves the keys as they were, and `warn` hears of it once. Throws `invalid_config` for one
 * that is unreadable from the start.
 */
export function openKeyring({ keyringPath: path, rootKey, sealingKey }: RingSource, warn: (problem: string) => void): Keyring {
  if (path === undefined)
    return { rootKeys: readRootKeys(rootKey?.reveal() ?? '') ?? [], sealingKeys: readPrivateKeys(sealingKey?.reveal() ?? '') ?? [] };
  let { content, stamp } = readRingFile(path);
  let ring = keysOf(content);
  const current = (): Keyring => {
    const now = stampOf(path);
    if (now === stamp) return ring;
    stamp = now;
    try {
      ({ content, stamp } = readRingFile(path));
      ring = keysOf(content);
    } catch (error) {
      if (!ValetkeyError.is(error)) throw error;
      warn(`the key ring stays as it was: ${error.message}`);
    }
    return ring;
  };
  return {
    get rootKeys() {
      return current().rootKeys;
    },
    get sealingKeys() {
      return current().sealingKeys;
    },
  };
}

function keysOf({ rootKeys, sealingKeys }: RingContent): Keyring {
  for (const { key } of rootKeys) learnSecret(new Secret(key));
  for (const { d } of sealingKeys) learnSecret(new Secret(d));
  return { rootKeys: rootKeys.map(({ id, key }) => ({ id, key: createSecretKey(key, 'base64') })), sealingKeys };
}
