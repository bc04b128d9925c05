import { compactDecrypt, type CompactDecryptResult, type CompactJWEHeaderParameters } from 'jose';

import { ValetkeyError } from '../job/errors.ts';
import { SEAL, type SealedFor } from './seal.ts';
import { readPrivateKeys, type PrivateSealingKey } from './sealing-key.ts';
import { Secret } from './secret.ts';

/** What opens sealed secrets: workers only. */
export interface KeyRing {
  /**
   * Opens what `seal` sealed. Throws `sealed_unreadable`, which no retry mends: sealed for another tenant or purpose, for a key
   * that is not in the ring, or changed since.
   */
  open(sealed: string, owner: SealedFor): Promise<Secret>;
}

/** `keys`: the content of VALETKEY_SEALING_KEY; without it nothing opens. A secret names its key, so an old one can stay beside the new. */
export function createKeyRing(keys: Secret | undefined): KeyRing {
  const ring = new Map(readPrivateKeys(keys?.reveal() ?? '')?.map((key) => [key.kid, key]));
  return {
    async open(sealed, { tenant, purpose }) {
      if (ring.size === 0) throw unreadable('the worker has no VALETKEY_SEALING_KEY');
      const { plaintext, protectedHeader } = await decrypt(sealed, ring);
      if (protectedHeader['tenant'] !== tenant) throw unreadable('it was sealed for another tenant');
      if (protectedHeader['purpose'] !== purpose) throw unreadable('it was sealed for another purpose');
      return new Secret(new TextDecoder().decode(plaintext));
    },
  };
}

async function decrypt(sealed: string, ring: ReadonlyMap<unknown, PrivateSealingKey>): Promise<CompactDecryptResult> {
  const keyOf = ({ kid }: CompactJWEHeaderParameters): PrivateSealingKey => {
    const key = ring.get(kid);
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
