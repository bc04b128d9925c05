import { CREDENTIAL_PATTERN } from '../../contract/credential.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { readLoginSeal } from '../../secrets/seal-login.ts';
import type { SealOwner, UpstreamKeyOwner } from '../../secrets/seal.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { Unsealer } from '../../secrets/unsealer.ts';

/** Opens an upstream credential, which becomes part of a header; a login does not, since it holds more than that. Throws `sealed_unreadable`, also for what no header can hold. */
export async function openCredential(unsealer: Unsealer, sealed: string, owner: SealOwner | UpstreamKeyOwner): Promise<Secret> {
  const secret = await unsealer.open(sealed, owner);
  if (CREDENTIAL_PATTERN.test(secret.reveal()) && readLoginSeal(sealed) === null) return secret;
  throw new ValetkeyError('sealed_unreadable', 'The sealed credential is not one word of printable ASCII, or is a login to a plan.');
}
