import { randomBytes } from 'node:crypto';

import type { Config } from '../../config/config.ts';
import { createKeyring } from '../../secrets/change-keyring.ts';
import { readKeyringFile } from '../../secrets/keyring-file.ts';
import { encodePublicKey } from '../../secrets/sealing-key.ts';
import { Secret } from '../../secrets/secret.ts';
import { exists } from '../../system/exists.ts';

type StackKeys = Pick<Config, 'keyringPath' | 'rootKey' | 'sealingKey' | 'sealingPublicKey'>;

/**
 * The keys of a stack: those of the configured key ring, else of the data folder's, which is made at the first start (with the keys of the
 * variables where they are set), else a root key for this start. Throws `invalid_config`.
 */
export async function stackKeys(config: Config, ownRing: string | undefined): Promise<StackKeys> {
  const { keyringPath = ownRing, sealingKey, sealingPublicKey } = config;
  if (keyringPath === undefined)
    return { keyringPath, rootKey: new Secret(randomBytes(32).toString('base64')), sealingKey, sealingPublicKey };
  if (keyringPath === ownRing && !(await exists(ownRing))) await createKeyring(ownRing, config);
  const [current] = readKeyringFile(keyringPath).content.sealingKeys;
  const publicKey = current === undefined ? sealingPublicKey : encodePublicKey(current);
  return { keyringPath, rootKey: undefined, sealingKey: undefined, sealingPublicKey: publicKey };
}
