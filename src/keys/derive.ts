import { createHmac } from 'node:crypto';

import { ValetkeyError } from '../job/errors.ts';
import type { KeyRef } from '../job/ref.ts';
import { readRootKeys } from '../secrets/root-key.ts';
import { Secret } from '../secrets/secret.ts';

/** What every key of a job begins with, so that a scanner of leaked secrets can know it. */
const PREFIX = 'sk-vk-';

/** The root keys of a worker. */
export interface RootKeys {
  /** Names the one that new keys are derived from. */
  readonly currentId: string;
  /** Throws `root_key_missing` for a root key that this worker does not have: another may, or this one after its next start. */
  derive(rootKeyId: string, ref: KeyRef): Secret;
}

/** `keys`: the content of VALETKEY_ROOT_KEY. Throws `invalid_config`. */
export function createRootKeys(keys: Secret): RootKeys {
  const ring = readRootKeys(keys.reveal());
  if (ring === null) throw new ValetkeyError('invalid_config', 'VALETKEY_ROOT_KEY: must be root keys: openssl rand -base64 32');
  return {
    currentId: ring[0].id,
    derive(rootKeyId, ref) {
      const key = ring.find(({ id }) => id === rootKeyId);
      if (key === undefined) throw new ValetkeyError('root_key_missing', `the key ${ref} hangs on the root key ${rootKeyId}`);
      return deriveSecret(key.bytes, ref);
    },
  };
}

/**
 * The secret of a ref: HMAC-SHA256 of it under the root key. A retried mint computes it again, so nobody has to carry it
 * and no history ever holds it.
 */
export function deriveSecret(rootKey: Buffer, ref: KeyRef): Secret {
  const digest = createHmac('sha256', rootKey).update(`valetkey key ${ref}`).digest('base64url');
  return new Secret(PREFIX + digest);
}
