import { createHmac, type KeyObject } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Keyring } from '../secrets/keyring.ts';
import { readRootKeys, type RootKey } from '../secrets/root-key.ts';
import { Secret } from '../secrets/secret.ts';

/** What every key of a job begins with, so that a scanner of leaked secrets can know it. */
const PREFIX = 'sk-vk-';

/** The root keys of a worker. */
export interface RootKeys {
  /** Names the one that new keys are derived from: another one after a rotation. */
  readonly currentId: string;
  /** Throws `root_key_missing` for a root key that this worker does not have: another may, or this one once it has the newest ring. */
  derive(rootKeyId: string, ref: KeyRef): Secret;
}

/** `keys`: the content of VALETKEY_ROOT_KEY, or a ring that can change. Throws `invalid_config` where there is none. */
export function createRootKeys(keys: Secret | Pick<Keyring, 'rootKeys'>): RootKeys {
  const ring = keys instanceof Secret ? { rootKeys: readRootKeys(keys.reveal()) ?? [] } : keys;
  const current = (): RootKey => {
    const [key] = ring.rootKeys;
    if (key === undefined) throw new ValetkeyError('invalid_config', 'VALETKEY_ROOT_KEY is not set to root keys, nor is VALETKEY_KEYRING');
    return key;
  };
  current();
  return {
    get currentId() {
      return current().id;
    },
    derive(rootKeyId, ref) {
      const root = ring.rootKeys.find(({ id }) => id === rootKeyId);
      if (root === undefined) throw new ValetkeyError('root_key_missing', `the key ${ref} hangs on the root key ${rootKeyId}`);
      return deriveSecret(root.key, ref);
    },
  };
}

/**
 * The secret of a ref: HMAC-SHA256 of it under the root key. A retried mint computes it again, so nobody has to carry it
 * and no history ever holds it.
 */
export function deriveSecret(rootKey: KeyObject, ref: KeyRef): Secret {
  const digest = createHmac('sha256', rootKey).update(`valetkey key ${ref}`).digest('base64url');
  return new Secret(PREFIX + digest);
}
