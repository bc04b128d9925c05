import { agents } from '../agents/index.ts';
import { DEFAULT_CREDENTIAL } from '../contract/credential.ts';
import { providerOf } from '../contract/dialect.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { GATEWAY_TITLES, type GatewayName } from '../contract/gateway-name.ts';
import { invalidSpec } from '../contract/invalid-spec.ts';
import type { JobSpec } from '../contract/spec.ts';
import { readSealOwner } from '../secrets/seal.ts';
import type { Db } from '../store/database.ts';
import { credentialNames } from '../store/upstream-credentials.ts';
import { presentGateways } from '../store/workers.ts';
import type { ClientContext } from './context.ts';

/**
 * Refuses a job whose credential cannot work: a gateway that no worker is configured with, a stored one that is not there for the agent's
 * provider, or a sealed one for another tenant, provider or purpose. Whether it opens, and whether the provider accepts it, is found later.
 * @throws `gateway_not_configured`, `credential_not_found`, `invalid_spec`, `database_unreachable`
 */
export async function checkCredential(
  { database: { db }, owner: installation }: Pick<ClientContext, 'database' | 'owner'>,
  { agent, tenant, credential }: Pick<JobSpec, 'agent' | 'tenant' | 'credential'>,
): Promise<void> {
  if (credential.strategy === 'gateway') return checkGateway(db, installation, credential.gateway);
  const provider = providerOf(agents[agent].protocol);
  if (credential.strategy === 'byok' && credential.sealed !== undefined) {
    const owner = readSealOwner(credential.sealed);
    if (owner?.purpose === 'byok' && owner.provider === provider && owner.tenant === tenant) return;
    const message = `must be sealed with purpose "byok" for ${provider}, the provider of ${agent}, and the tenant ${tenant}`;
    throw invalidSpec([{ path: 'credential.sealed', message }]);
  }
  const { name = DEFAULT_CREDENTIAL } = credential;
  const owner = credential.strategy === 'shared' ? null : tenant;
  const names = await credentialNames(db, { provider, tenant: owner });
  if (names.includes(name)) return;
  const whose = owner === null ? 'The organization' : `The tenant ${owner}`;
  const others = names.length === 0 ? 'It has none.' : `It has ${names.slice(0, 10).join(', ')}.`;
  throw new ValetkeyError(
    'credential_not_found',
    `${whose} has no credential ${name} for ${provider}, the provider of ${agent}. ${others}`,
  );
}

/** Without a worker it is not known, and the job waits for one. */
async function checkGateway(db: Db, installation: string, gateway: GatewayName): Promise<void> {
  if (gateway === 'builtin') return;
  const present = await presentGateways(db, installation);
  if (present === null || present.has(gateway)) return;
  throw new ValetkeyError('gateway_not_configured', `No worker is configured with ${GATEWAY_TITLES[gateway]}.`);
}
