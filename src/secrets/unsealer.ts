import { compactDecrypt, type CompactDecryptResult, type CompactJWEHeaderParameters } from 'jose';

import { ValetkeyError } from '../contract/errors.ts';
import type { Keyring } from './keyring.ts';
import { SEAL, SEALED_FOR, type SealedFor } from './seal.ts';
import { readPrivateKeys, type PrivateSealingKey } from './sealing-key.ts';
import { Secret } from './secret.ts';

/** What opens sealed secrets: workers, and gateways what is for them. */
export interface Unsealer {
  /**
   * Opens what `seal` sealed. Throws `sealed_unreadable`, which no retry mends: sealed for another tenant or purpose, for a key
   * that is not in the ring, or changed since.
   */
  open(sealed: string, owner: SealedFor): Promise<Secret>;
}

/**
 * `keys`: the content of VALETKEY_SEALING_KEY, or a ring that can change; without any nothing opens. A secret names its key, so an
 * old one can stay beside the new.
 */
export function createUnsealer(keys: Secret | Pick<Keyring, 'sealingKeys'> | undefined): Unsealer {
  const ring = keys === undefined || keys instanceof Secret ? { sealingKeys: readPrivateKeys(keys?.reveal() ?? '') ?? [] } : keys;
  return {
    async open(sealed, owner) {
      const { sealingKeys } = ring;
      if (sealingKeys.length === 0) throw unreadable('this process has neither VALETKEY_SEALING_KEY nor VALETKEY_KEYRING');
      const { plaintext, protectedHeader } = await decrypt(sealed, sealingKeys);
      const wanted: Record<string, string> = { ...owner };
      const other = SEALED_FOR.find((name) => protectedHeader[name] !== wanted[name]);
      if (other !== undefined) throw unreadable(`it was sealed for another ${other}`);
      return new Secret(new TextDecoder().decode(plaintext));
    },
  };
}

async function decrypt(sealed: string, keys: readonly PrivateSealingKey[]): Promise<CompactDecryptResult> {
  const keyOf = ({ kid }: CompactJWEHeaderParameters): PrivateSealingKey => {
    const key = keys.find((one) => one.kid === kid);
    if (key === undefined) throw unreadable('it was sealed for a key that the worker does not have');
    return key;
  };
  try {
    return await compactDecrypt(sealed, keyOf, { keyManagementAlgorithms: [SEAL.alg], contentEncryptionAlgorithms: [SEAL.enc] });
  } catch (error) {
    throw ValetkeyError.is(error) ? error : unreadable('it was changed since, or is none');
  }
}

function unreadable(why: string): ValetkeyError {
  return new ValetkeyError('sealed_unreadable', `The sealed secret cannot be opened: ${why}.`);
}
