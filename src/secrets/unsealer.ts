import { compactDecrypt, type CompactDecryptResult, type CompactJWEHeaderParameters } from 'jose';

import { ValetkeyError } from '../contract/errors.ts';
import type { LoadedKeyring } from './keyring.ts';
import { SEAL_ALGORITHMS, OWNER_HEADERS, type SealOwner, type UpstreamKeyOwner } from './seal.ts';
import { encodePublicKey, readPrivateKeys, type PrivateSealingKey } from './sealing-key.ts';
import { Secret } from './secret.ts';

/** Opens sealed secrets, in workers and gateways. */
export interface Unsealer {
  /**
   * Opens the result of `seal`. Throws `sealed_unreadable`, which no retry fixes: the secret was sealed for another tenant or purpose, or for
   * a key that is not in the keyring, or it was changed.
   */
  open(sealed: string, owner: SealOwner | UpstreamKeyOwner): Promise<Secret>;
  /** Returns the public key of the current sealing key, for secrets that are stored from now on; null where there is no key. */
  publicKey(): string | null;
}

/**
 * `keys`: the content of VALETKEY_SEALING_KEY, or a keyring that can change; without keys every `open` fails. A sealed secret names its
 * key, so old keys can remain beside the new one.
 */
export function createUnsealer(keys: Secret | Pick<LoadedKeyring, 'sealingKeys'> | undefined): Unsealer {
  const ring = keys === undefined || keys instanceof Secret ? { sealingKeys: readPrivateKeys(keys?.reveal() ?? '') ?? [] } : keys;
  return {
    async open(sealed, owner) {
      const { sealingKeys } = ring;
      if (sealingKeys.length === 0) throw unreadable('this process has neither VALETKEY_SEALING_KEY nor VALETKEY_KEYRING set');
      const { plaintext, protectedHeader } = await decrypt(sealed, sealingKeys);
      const wanted: Record<string, string> = { ...owner };
      const other = OWNER_HEADERS.find((name) => protectedHeader[name] !== wanted[name]);
      if (other !== undefined) throw unreadable(`it was sealed for another ${other}`);
      return new Secret(new TextDecoder().decode(plaintext));
    },
    publicKey: () => {
      const [current] = ring.sealingKeys;
      return current === undefined ? null : encodePublicKey(current);
    },
  };
}

async function decrypt(sealed: string, keys: readonly PrivateSealingKey[]): Promise<CompactDecryptResult> {
  const keyOf = ({ kid }: CompactJWEHeaderParameters): PrivateSealingKey => {
    const key = keys.find((one) => one.kid === kid);
    if (key === undefined) throw unreadable('it was sealed for a key that this process does not have');
    return key;
  };
  try {
    return await compactDecrypt(sealed, keyOf, {
      keyManagementAlgorithms: [SEAL_ALGORITHMS.alg],
      contentEncryptionAlgorithms: [SEAL_ALGORITHMS.enc],
    });
  } catch (error) {
    throw ValetkeyError.is(error) ? error : unreadable('it was changed, or is not a sealed secret');
  }
}

function unreadable(why: string): ValetkeyError {
  return new ValetkeyError('sealed_unreadable', `The sealed secret cannot be opened: ${why}.`);
}
