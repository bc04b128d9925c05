import type { JobCredential } from '../../contract/credential.ts';
import type { Dialect } from '../../contract/dialect.ts';
import type { GatewayName } from '../../contract/gateway-name.ts';
import { sealLogin } from '../../secrets/seal-login.ts';
import { seal } from '../../secrets/seal.ts';
import type { Stack } from '../stack.ts';

/** The strategies that the demo can show. */
export const DEMO_STRATEGIES = ['gateway', 'shared', 'byok', 'subscription'] as const;
export type DemoStrategy = (typeof DEMO_STRATEGIES)[number];

/** The tenant of the demo's jobs. */
export const DEMO_TENANT = 'demo';

/**
 * Returns the credential of a job with a strategy. For `shared` and `byok` it stores the gateway's own credential under a name, for the
 * organization or the tenant; for `subscription` it stores that as a login to a plan, which only the scripted model accepts. Throws what `credentials.add` throws.
 */
export async function demoCredential(
  { client, config }: Pick<Stack, 'client' | 'config'>,
  { strategy, gateway }: { strategy: DemoStrategy; gateway: GatewayName },
  provider: Dialect,
): Promise<JobCredential> {
  if (strategy === 'gateway') return { strategy, gateway };
  const publicKey = config.sealingPublicKey ?? '';
  const secret = config.gateway[provider].credential?.reveal() ?? '';
  if (strategy === 'subscription') {
    const sealed = await sealLogin({ accessToken: secret, accountId: 'demo' }, { provider, tenant: DEMO_TENANT, publicKey });
    await client.credentials.add({ provider, name: 'plan', tenant: DEMO_TENANT, sealed });
    return { strategy, name: 'plan' };
  }
  const name = strategy === 'shared' ? 'pool' : 'own';
  const owner = strategy === 'shared' ? {} : { tenant: DEMO_TENANT };
  const sealed = await seal(secret, { purpose: 'upstream', provider, ...owner, publicKey });
  await client.credentials.add({ provider, name, ...owner, sealed });
  return { strategy, name };
}
