import { DEFAULT_CREDENTIAL } from '../../contract/credential.ts';
import { DIALECTS, type Dialect } from '../../contract/dialect.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { Login } from '../../secrets/login.ts';
import { registerSecret } from '../../secrets/redact.ts';
import { openLogin, readLoginSeal } from '../../secrets/seal-login.ts';
import { Secret } from '../../secrets/secret.ts';
import type { Unsealer } from '../../secrets/unsealer.ts';
import type { Database } from '../../store/database.ts';
import type { KeyAccess } from '../../store/requests.ts';
import { subscribe } from '../../store/subscription.ts';
import { readCredentials, UPSTREAM_CHANNEL, type UpstreamCredential } from '../../store/upstream-credentials.ts';
import type { Logger } from '../../telemetry/log.ts';
import { CredentialUses } from './credential-uses.ts';
import { openCredential } from './open-credential.ts';
import { SealedCredentials } from './sealed-credentials.ts';

/** The credentials are also polled: a notice can be lost, and a keyring that gains a key sends none. */
const POLL_INTERVAL_MS = 5_000;

/** The part of a key that decides its upstream credential. */
export type PaidKey = Pick<KeyAccess, 'ref' | 'tenant' | 'credential' | 'upstreamSealed'>;

/** The current upstream credentials of the jobs. */
export interface UpstreamCredentials {
  /**
   * Returns the credential to send in a key's place. Stored ones come from memory. `gateway`: the tenant's default, else the
   * organization's, else the configured one; with another gateway than `builtin`, the key that it minted. Undefined where there is none, or a stored one cannot be opened: nothing else is used in its
   * place, since another account would pay.
   * @throws `sealed_unreadable` for one that is sealed for the job
   */
  find(dialect: Dialect, key: PaidKey): Secret | undefined | Promise<Secret | undefined>;
  /** Returns the newest version of a tenant's login; undefined where there is none, or it cannot be opened. */
  findLogin(dialect: Dialect, tenant: string, name: string): StoredLogin | undefined;
  /** Reads the stored credentials now. @throws `database_unreachable` */
  reload(): Promise<void>;
  /** Records that a login is sent. */
  recordUse(login: StoredLogin): void;
  /** Whether the strategy `gateway` has a credential for tenants without their own. */
  hasDefault(dialect: Dialect): boolean;
  close(): void;
}

export interface CredentialsOptions {
  database: Database;
  unsealer: Unsealer;
  /** The organization's credentials for dialects without a stored default that can be opened. */
  configured: Record<Dialect, Secret | undefined>;
  logger: Logger | undefined;
}

/** The newest version of a login, opened. */
export interface StoredLogin extends UpstreamCredential {
  tenant: string;
  login: Login;
  /** Its access token. */
  secret: Secret;
}

interface InUse extends UpstreamCredential {
  secret: Secret;
}

/** The stored credentials in use for one dialect, by owner and name. The value null means that none of the versions can be opened. */
type ByName = Map<string, InUse | null>;

/**
 * Follows the stored credentials: of each, the newest version that can be opened is in use, from the moment that it is stored. A version
 * that cannot be opened leaves the previous one in use, and causes one warning. A credential that was sealed for one tenant is used for
 * no other. While the table cannot be read, the credentials stay as they are.
 * @throws `database_unreachable` where the first read of the table fails
 */
export async function followCredentials({ database, unsealer, configured, logger }: CredentialsOptions): Promise<UpstreamCredentials> {
  const inUse: Record<Dialect, ByName> = { anthropic: new Map(), openai: new Map() };
  const warned = new Set<string>();
  const uses = new CredentialUses(database);
  const sealed = new SealedCredentials(unsealer);

  const logins: Record<Dialect, Map<string, StoredLogin>> = { anthropic: new Map(), openai: new Map() };
  /** Only the newest version counts: the refresh tokens of those before are used up. */
  const newestLogin = async (row: UpstreamCredential, before: StoredLogin | undefined): Promise<StoredLogin | undefined> => {
    const { provider, tenant } = row;
    if (tenant === null) return undefined;
    if (before?.sealed === row.sealed) return before.needsLogin === row.needsLogin ? before : { ...before, needsLogin: row.needsLogin };
    const login = await orWarning(row, openLogin(unsealer, row.sealed, { provider, tenant }));
    return login === null ? undefined : { ...row, tenant, login, secret: new Secret(login.accessToken) };
  };

  const newest = async (versions: readonly UpstreamCredential[], before: InUse | undefined): Promise<InUse | undefined> => {
    for (const version of versions) {
      // A login is for the strategy `subscription` alone, and takes the place of what was under its name before.
      if (readLoginSeal(version.sealed) !== null) return undefined;
      if (version.sealed === before?.sealed) return before;
      const secret = await open(version);
      if (secret !== null) return { ...version, secret };
    }
    return undefined;
  };
  const open = async (row: UpstreamCredential): Promise<Secret | null> => {
    const { provider, tenant } = row;
    const owner = { purpose: 'upstream' as const, provider, ...(tenant === null ? {} : { tenant }) };
    const secret = await orWarning(row, openCredential(unsealer, row.sealed, owner));
    if (secret !== null) registerSecret(secret);
    return secret;
  };
  const orWarning = async <T>(
    { provider, tenant, name, version, sealed: text }: UpstreamCredential,
    opening: Promise<T>,
  ): Promise<T | null> => {
    try {
      return await opening;
    } catch (error) {
      if (!ValetkeyError.is(error)) throw error;
      const row = JSON.stringify([provider, tenant, name, version, text]);
      if (!warned.has(row))
        logger?.warn({ provider, tenant, name, version, code: error.code }, `A stored credential cannot be used: ${error.message}`);
      warned.add(row);
      return null;
    }
  };
  const apply = async (stored: readonly UpstreamCredential[]): Promise<void> => {
    for (const provider of DIALECTS) {
      const versionsOf = Map.groupBy(
        stored.filter((credential) => credential.provider === provider),
        ({ tenant, name }) => keyOf(tenant, name),
      );
      const current = inUse[provider];
      for (const key of new Set([...versionsOf.keys(), ...current.keys()])) {
        const before = current.get(key);
        const versions = versionsOf.get(key) ?? [];
        const [first] = versions;
        const login =
          first === undefined || readLoginSeal(first.sealed) === null ? undefined : await newestLogin(first, logins[provider].get(key));
        if (login === undefined) logins[provider].delete(key);
        else logins[provider].set(key, login);
        const now = versions.length === 0 ? undefined : ((await newest(versions, before ?? undefined)) ?? null);
        if (now === before) continue;
        if (now === undefined) current.delete(key);
        else current.set(key, now);
        const { tenant = null, name = null } = versions[0] ?? before ?? {};
        logger?.info({ provider, tenant, name, version: now?.version ?? null }, 'The credential in use has changed.');
      }
    }
  };
  // A read over a broken connection must neither delay a newer read nor replace its result with a late answer.
  let begun = 0;
  let applied = 0;
  let applying = Promise.resolve();
  const read = async (connection: Parameters<typeof readCredentials>[0]): Promise<void> => {
    const number = (begun += 1);
    const stored = await readCredentials(connection);
    const applyInOrder = async (): Promise<void> => {
      if (number < applied) return;
      await apply(stored);
      applied = number;
    };
    await (applying = applying.then(applyInOrder, applyInOrder));
  };
  let refreshing = false;
  let refreshAgain = false;
  const refresh = (): void => {
    refreshAgain = refreshing;
    if (refreshing) return;
    refreshing = true;
    void read(database.pool)
      .catch(() => {})
      .finally(() => {
        refreshing = false;
        if (refreshAgain) refresh();
      });
  };

  const stop = new AbortController();
  await subscribe(database, { channel: UPSTREAM_CHANNEL, onNotice: refresh, catchUp: read, stop: stop.signal, logger });
  const timer = setInterval(refresh, POLL_INTERVAL_MS);
  const stored = (dialect: Dialect, tenant: string | null, name: string): Secret | undefined => {
    const credential = inUse[dialect].get(keyOf(tenant, name));
    if (credential == null) return undefined;
    uses.record(credential);
    return credential.secret;
  };
  const ofOrganization = (dialect: Dialect): Secret | undefined => stored(dialect, null, DEFAULT_CREDENTIAL) ?? configured[dialect];
  const hasDefault = (dialect: Dialect): boolean =>
    inUse[dialect].get(keyOf(null, DEFAULT_CREDENTIAL)) != null || configured[dialect] !== undefined;
  if (!DIALECTS.some((dialect) => inUse[dialect].size > 0 || hasDefault(dialect)))
    logger?.warn(
      'There is no default credential, so jobs with the built-in gateway will be refused. Set ANTHROPIC_API_KEY or OPENAI_API_KEY, or store one.',
    );
  return {
    find: (dialect, { ref, tenant, credential, upstreamSealed }) => {
      if (upstreamSealed !== null) return sealed.open(upstreamSealed, { purpose: 'upstream-key', ref });
      switch (credential.strategy) {
        case 'gateway':
          // Its mint is what makes such a key active, so the row would name the key.
          if (credential.gateway !== 'builtin') return undefined;
          return inUse[dialect].has(keyOf(tenant, DEFAULT_CREDENTIAL))
            ? stored(dialect, tenant, DEFAULT_CREDENTIAL)
            : ofOrganization(dialect);
        case 'shared':
          return stored(dialect, null, credential.name);
        case 'byok':
          return credential.sealed === undefined
            ? stored(dialect, tenant, credential.name ?? DEFAULT_CREDENTIAL)
            : sealed.open(credential.sealed, { purpose: 'byok', provider: dialect, tenant });
        case 'subscription':
          // Its access token can expire: `Subscriptions` has it.
          return undefined;
      }
    },
    findLogin: (dialect, tenant, name) => logins[dialect].get(keyOf(tenant, name)),
    reload: async () => read(database.pool),
    recordUse: (login) => uses.record(login),
    hasDefault,
    close: () => {
      clearInterval(timer);
      stop.abort();
    },
  };
}

function keyOf(tenant: string | null, name: string): string {
  return JSON.stringify([tenant, name]);
}
