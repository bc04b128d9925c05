import { required, type Config } from '../config/config.ts';
import { readKeyringFile } from '../secrets/keyring-file.ts';
import { encodePublicKey } from '../secrets/sealing-key.ts';

/** Returns the key to seal with: that of the keyring is the newest, the variable can be older. Throws `invalid_config`. */
export function currentPublicKey({ keyringPath, sealingPublicKey }: Config): string {
  const [current] = keyringPath === undefined ? [] : readKeyringFile(keyringPath).content.sealingKeys;
  return current === undefined ? required(sealingPublicKey, 'VALETKEY_SEALING_PUBLIC_KEY') : encodePublicKey(current);
}
