import { agents } from '../agents/index.ts';
import { DEFAULT_CREDENTIAL, DEFAULT_LOGIN, type Strategy } from '../contract/credential.ts';
import { providerOf } from '../contract/dialect.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { GATEWAY_TITLES, type GatewayName } from '../contract/gateway-name.ts';
import { invalidSpec } from '../contract/invalid-spec.ts';
import type { JobSpec } from '../contract/spec.ts';
import { isLoginOver, readLoginSeal } from '../secrets/seal-login.ts';
import { readSealOwner } from '../secrets/seal.ts';
import type { Db } from '../store/database.ts';
import { newestCredentials, type UpstreamCredential } from '../store/upstream-credentials.ts';
import { presentConfiguration } from '../store/workers.ts';
import type { ClientContext } from './context.ts';

/**
 * Refuses a job whose credential cannot work: a gateway that no worker is configured with, a stored one that is not there for the agent's
 * provider, is a login that ended or is of another kind, or a sealed one for another tenant, provider or purpose. Whether it opens, and whether the provider accepts it, is found later.
 * @throws `gateway_not_configured`, `credential_not_found`, `credential_needs_login`, `invalid_spec`, `database_unreachable`
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
  const { strategy, name = strategy === 'subscription' ? DEFAULT_LOGIN : DEFAULT_CREDENTIAL } = credential;
  const owner = strategy === 'shared' ? null : tenant;
  const newest = await newestCredentials(db, { provider, tenant: owner });
  const stored = newest.find((one) => one.name === name);
  const whose = owner === null ? 'The organization' : `The tenant ${owner}`;
  if (stored === undefined) {
    const others = newest.map((one) => one.name);
    const known = others.length === 0 ? 'It has none.' : `It has ${others.slice(0, 10).join(', ')}.`;
    const message = `${whose} has no credential ${name} for ${provider}, the provider of ${agent}. ${known}`;
    throw new ValetkeyError('credential_not_found', message);
  }
  checkKind(stored, strategy);
}

/** A login is for the strategy `subscription` alone: another would have it sent as an API key. */
function checkKind({ tenant, name, provider, sealed, needsLogin }: UpstreamCredential, strategy: Strategy): void {
  const login = readLoginSeal(sealed);
  if ((login !== null) !== (strategy === 'subscription')) {
    const message =
      login === null
        ? `must name a login to a plan; ${name} is an API key, for the strategy byok`
        : `must name an API key; ${name} is a login to a plan, for the strategy subscription`;
    throw invalidSpec([{ path: 'credential.name', message }]);
  }
  const title = `The login ${name} for ${provider} of the tenant ${tenant}`;
  if (needsLogin) throw new ValetkeyError('credential_needs_login', `${title} was refused by the provider when it was refreshed.`);
  if (login !== null && isLoginOver(login))
    throw new ValetkeyError('credential_needs_login', `${title} has expired and has no refresh token.`);
}

/** Without a worker it is not known, and the job waits for one. */
async function checkGateway(db: Db, installation: string, gateway: GatewayName): Promise<void> {
  if (gateway === 'builtin') return;
  const present = await presentConfiguration(db, installation);
  if (present === null || present.gateways.has(gateway)) return;
  throw new ValetkeyError('gateway_not_configured', `No worker is configured with ${GATEWAY_TITLES[gateway]}.`);
}
