import { z } from 'zod';

import { credentialNameSchema } from '../contract/credential-spec.ts';
import { DEFAULT_CREDENTIAL } from '../contract/credential.ts';
import { DIALECTS, type Dialect } from '../contract/dialect.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { invalidSpec } from '../contract/invalid-spec.ts';
import { sealedSchema } from '../contract/sandbox-spec.ts';
import { tenantSchema } from '../contract/spec.ts';
import type { StoredCredential } from '../contract/stored-credential.ts';
import { isLoginOver, readLoginSeal, type LoginSeal } from '../secrets/seal-login.ts';
import { readSealOwner } from '../secrets/seal.ts';
import {
  listCredentials,
  removeCredential,
  storeCredential,
  type CredentialKey,
  type UpstreamCredential,
} from '../store/upstream-credentials.ts';
import type { ClientContext } from './context.ts';
import { parseOptions } from './options.ts';
import { scopedTenant } from './scope.ts';

/** Names a stored credential. */
export interface CredentialName {
  /** The provider that it is for. */
  provider: Dialect;
  /** The tenant that owns it; the organization when left out. */
  tenant?: string | undefined;
  /** Its name. Default: "default", which the strategy `gateway` uses. */
  name?: string | undefined;
}

/** A credential to store. */
export interface NewCredential extends CredentialName {
  /** The credential, sealed for the same provider and tenant: `seal(secret, { purpose: 'upstream', … })`, or `sealLogin`. */
  sealed: string;
}

const nameShape = {
  provider: z.enum(DIALECTS),
  tenant: tenantSchema.optional(),
  name: credentialNameSchema.default(DEFAULT_CREDENTIAL),
};
const nameSchema = z.strictObject({ ...nameShape, version: z.number().int().positive().optional() });
const newSchema = z.strictObject({ ...nameShape, sealed: sealedSchema });

/**
 * Stored credentials at the providers, of the organization and of tenants: add, list, rotate, remove. They are stored sealed; only gateways
 * open them. A client of one tenant (`forTenant`) has that tenant's only.
 */
export class Credentials {
  readonly #context: ClientContext;

  /** @internal */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /** Lists the versions by provider, owner and name, the newest of each first. @throws `database_unreachable` */
  async list(): Promise<StoredCredential[]> {
    const { calls, database, tenant } = this.#context;
    const stored = await calls.run(async () => listCredentials(database.db));
    return stored
      .map((credential, index) => toStoredCredential(credential, stored[index - 1]))
      .filter((credential) => tenant === null || credential.tenant === tenant);
  }

  /**
   * Stores a credential, as its version 1. Gateways use it for each request that begins from then on.
   * @throws `invalid_spec`, also where it was sealed for another owner; `credential_exists`, `database_unreachable`
   */
  async add(credential: NewCredential): Promise<{ version: number }> {
    return this.#store(credential, { isNew: true });
  }

  /**
   * Stores the next version of a credential. Running jobs use it from their next request on; the earlier versions stay until `remove`.
   * @throws `invalid_spec`, `credential_not_found`, `database_unreachable`
   */
  async rotate(credential: NewCredential): Promise<{ version: number }> {
    return this.#store(credential, { isNew: false });
  }

  /**
   * Removes a credential, or one version of it: the one before is then in use. Running jobs whose credential is gone are refused with their
   * next request. Resolves to the removed versions.
   * @throws `invalid_spec`, `credential_not_found` where there is none, `database_unreachable`
   */
  async remove(options: CredentialName & { version?: number | undefined }): Promise<{ versions: number[] }> {
    return this.#context.calls.run(async () => {
      const { version, ...parsed } = parseOptions(nameSchema, options);
      const key = this.#keyOf(parsed);
      const versions = await removeCredential(this.#context.database.db, key, version);
      if (versions.length === 0) throw notFound(key);
      return { versions: versions.toSorted((a, b) => a - b) };
    });
  }

  async #store(credential: NewCredential, { isNew }: { isNew: boolean }): Promise<{ version: number }> {
    return this.#context.calls.run(async () => {
      const { sealed, ...parsed } = parseOptions(newSchema, credential);
      const key = this.#keyOf(parsed);
      requireOwner(sealed, key);
      requireLoginOwner(sealed, key);
      const version = await storeCredential(this.#context.database.db, key, sealed, { isNew });
      if (version !== null) return { version };
      throw isNew ? new ValetkeyError('credential_exists', `There is already a ${nameOf(key)}.`) : notFound(key);
    });
  }

  #keyOf({ provider, tenant, name }: { provider: Dialect; tenant?: string | undefined; name: string }): CredentialKey {
    return { provider, tenant: scopedTenant(this.#context, tenant) ?? null, name };
  }
}

/** `before` is the one before it in the list, in which the newest version of each comes first. */
function toStoredCredential(stored: UpstreamCredential, before: UpstreamCredential | undefined): StoredCredential {
  const { provider, tenant, name, version, createdAt, lastUsedAt, needsLogin } = stored;
  const login = readLoginSeal(stored.sealed);
  const isNewest = before?.provider !== provider || before.tenant !== tenant || before.name !== name;
  return {
    provider,
    tenant,
    name,
    version,
    kind: login === null ? 'api_key' : 'oauth',
    state: login === null ? 'active' : stateOfLogin(login, { isNewest, needsLogin }),
    expiresAt: login === null || login.expiresAtMs === null ? null : new Date(login.expiresAtMs).toISOString(),
    createdAt: createdAt.toISOString(),
    lastUsedAt: lastUsedAt?.toISOString() ?? null,
  };
}

function stateOfLogin(login: LoginSeal, { isNewest, needsLogin }: { isNewest: boolean; needsLogin: boolean }): StoredCredential['state'] {
  if (!isNewest) return 'replaced';
  if (needsLogin) return 'needs_login';
  return isLoginOver(login) ? 'expired' : 'active';
}

/** A login belongs to a tenant, and never under the name that the strategy `gateway` uses. */
function requireLoginOwner(sealed: string, { tenant, name }: CredentialKey): void {
  if (readLoginSeal(sealed) === null) return;
  if (tenant === null) throw invalidSpec([{ path: 'tenant', message: 'must be the tenant whose plan it is' }]);
  if (name === DEFAULT_CREDENTIAL)
    throw invalidSpec([{ path: 'name', message: `must not be "${DEFAULT_CREDENTIAL}" for a login: the strategy gateway uses that name` }]);
}

/** A gateway could not open it, and would say so only in its log. */
function requireOwner(sealed: string, { provider, tenant }: CredentialKey): void {
  const owner = readSealOwner(sealed);
  if (owner?.purpose === 'upstream' && owner.provider === provider && (owner.tenant ?? null) === tenant) return;
  const whose = tenant === null ? 'the organization' : `the tenant ${tenant}`;
  throw invalidSpec([{ path: 'sealed', message: `must be sealed with purpose "upstream" for ${provider} and ${whose}` }]);
}

function notFound(key: CredentialKey): ValetkeyError {
  return new ValetkeyError('credential_not_found', `There is no ${nameOf(key)}.`);
}

function nameOf({ provider, tenant, name }: CredentialKey): string {
  return `credential ${name} for ${provider} of ${tenant === null ? 'the organization' : `the tenant ${tenant}`}`;
}
