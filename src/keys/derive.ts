import { createHmac, type KeyObject } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { LoadedKeyring } from '../secrets/keyring.ts';
import { readRootKeys, type RootKey } from '../secrets/root-key.ts';
import { Secret } from '../secrets/secret.ts';

/** The prefix of every job key, which lets a scanner of leaked secrets recognize one. */
const PREFIX = 'sk-vk-';

/** The root keys of a worker. */
export interface RootKeys {
  /** The id of the root key that new keys are derived from; a rotation changes it. */
  readonly currentId: string;
  /**
   * Derives the secret of a ref. Throws `root_key_missing` for a root key that this worker does not have: another worker may have it,
   * or this one once it has read the newest keyring.
   */
  derive(rootKeyId: string, ref: KeyRef): Secret;
  /** Derives a second secret of a ref, for a gateway that lets the caller choose its key's. Throws as `derive` does. */
  deriveUpstream(rootKeyId: string, ref: KeyRef): Secret;
}

/** Reads root keys from the content of VALETKEY_ROOT_KEY, or from a keyring, which can change. Throws `invalid_config` where there is none. */
export function createRootKeys(keys: Secret | Pick<LoadedKeyring, 'rootKeys'>): RootKeys {
  const keyring = keys instanceof Secret ? { rootKeys: readRootKeys(keys.reveal()) ?? [] } : keys;
  const current = (): RootKey => {
    const [key] = keyring.rootKeys;
    if (key === undefined)
      throw new ValetkeyError(
        'invalid_config',
        'There is no root key. Set VALETKEY_ROOT_KEY, or VALETKEY_KEYRING to a keyring that has one.',
      );
    return key;
  };
  current();
  const rootKey = (rootKeyId: string, ref: KeyRef): KeyObject => {
    const root = keyring.rootKeys.find(({ id }) => id === rootKeyId);
    if (root !== undefined) return root.key;
    throw new ValetkeyError('root_key_missing', `The key ${ref} needs the root key ${rootKeyId}, which this worker does not have.`);
  };
  return {
    get currentId() {
      return current().id;
    },
    derive: (rootKeyId, ref) => deriveSecret(rootKey(rootKeyId, ref), ref),
    deriveUpstream: (rootKeyId, ref) => deriveSecret(rootKey(rootKeyId, ref), ref, 'upstream key'),
  };
}

/**
 * Derives the secret of a ref: its HMAC-SHA256 under the root key. A retried mint computes it again, so it is never passed between
 * processes and no workflow history holds it.
 */
export function deriveSecret(rootKey: KeyObject, ref: KeyRef, kind: 'key' | 'upstream key' = 'key'): Secret {
  const digest = createHmac('sha256', rootKey).update(`valetkey ${kind} ${ref}`).digest('base64url');
  return new Secret(PREFIX + digest);
}
