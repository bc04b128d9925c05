import { isDirect } from '../contract/credential.ts';
import type { Secret } from '../secrets/secret.ts';
import type { CurrentKey } from '../store/keys.ts';
import type { KeyContext } from './context.ts';

/** The secret that the sandbox holds. Throws `sealed_unreadable` where it is the gateway's, and only the proxies can open it. */
export async function deliveredSecret(
  { rootKeys, openUpstreamKey }: Pick<KeyContext, 'rootKeys' | 'openUpstreamKey'>,
  { ref, rootKeyId, credential, upstreamSealed }: Pick<CurrentKey, 'ref' | 'rootKeyId' | 'credential' | 'upstreamSealed'>,
): Promise<Secret> {
  return isDirect(credential) && upstreamSealed !== null ? openUpstreamKey(upstreamSealed, ref) : rootKeys.derive(rootKeyId, ref);
}
