import { isDirect } from '../contract/credential.ts';
import { codeOf } from '../contract/errors.ts';
import type { MintedKey } from '../gateways/gateway.ts';
import type { Secret } from '../secrets/secret.ts';
import type { LedgerEnd } from '../store/key-ends.ts';
import type { CurrentKey } from '../store/keys.ts';
import type { KeyContext } from './context.ts';

type Secrets = Pick<KeyContext, 'rootKeys' | 'openUpstreamKey'>;

/** The secret that the sandbox holds. Throws `sealed_unreadable` where it is the gateway's, and only the proxies can open it. */
export async function deliveredSecret(
  { rootKeys, openUpstreamKey }: Secrets,
  { ref, rootKeyId, credential, upstreamSealed }: Pick<CurrentKey, 'ref' | 'rootKeyId' | 'credential' | 'upstreamSealed'>,
): Promise<Secret> {
  return isDirect(credential) && upstreamSealed !== null ? openUpstreamKey(upstreamSealed, ref) : rootKeys.derive(rootKeyId, ref);
}

/**
 * The secrets of a key that ends, to see it refused. Throws `sealed_unreadable` where the sandbox has got the gateway's key and only other
 * workers can open it: nobody would have seen that key refused. `root_key_missing`.
 */
export async function readSecrets(
  context: Secrets,
  end: LedgerEnd,
): Promise<Pick<MintedKey, 'secret' | 'upstreamSecret' | 'mintedSecret'>> {
  const { rootKeys, openUpstreamKey } = context;
  const { ref, rootKeyId, upstreamSealed, wasBound } = end;
  const mintedSecret = upstreamSealed === null ? null : await openUpstreamKey(upstreamSealed, ref).catch(unlessUnreadable);
  const secret = wasBound ? await deliveredSecret(context, end) : rootKeys.derive(rootKeyId, ref);
  return { secret, upstreamSecret: rootKeys.deriveUpstream(rootKeyId, ref), mintedSecret };
}

function unlessUnreadable(error: unknown): null {
  if (codeOf(error) === 'sealed_unreadable') return null;
  throw error;
}
