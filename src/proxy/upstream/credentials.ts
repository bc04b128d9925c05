import { DIALECTS, type Dialect } from '../../contract/dialect.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { registerSecret } from '../../secrets/redact.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { Unsealer } from '../../secrets/unsealer.ts';
import type { Database } from '../../store/database.ts';
import { subscribe } from '../../store/subscription.ts';
import { readUpstreamCredentials, UPSTREAM_CHANNEL, type UpstreamCredential } from '../../store/upstream-credentials.ts';
import type { Logger } from '../../telemetry/log.ts';

/** The credentials are also polled: a notice can be lost, and a keyring that gains a key sends none. */
const POLL_INTERVAL_MS = 5_000;

/** The current credentials of the gateway at the providers. */
export interface Credentials {
  /**
   * Returns the tenant's own credential, else the organization's, else the configured one, from memory. Undefined where there is none, and
   * where the tenant's own cannot be opened: falling back would make another account pay.
   */
  forTenant(dialect: Dialect, tenant: string): Secret | undefined;
  close(): void;
}

export interface CredentialsOptions {
  database: Database;
  unsealer: Unsealer;
  /** The organization's credentials for dialects without a stored one that can be opened. */
  configured: Record<Dialect, Secret | undefined>;
  logger: Logger | undefined;
}

interface InUse extends UpstreamCredential {
  secret: Secret;
}

/**
 * The stored credentials in use for one dialect, by tenant. The key null is the organization; the value null means that none of the
 * tenant's versions can be opened.
 */
type ByTenant = Map<string | null, InUse | null>;

/**
 * Follows the stored credentials: for each dialect and tenant, the newest version that can be opened is in use, from the moment that it
 * is stored. A version that cannot be opened leaves the previous one in use, and causes one warning. A credential that was sealed for one
 * tenant is used for no other. While the table cannot be read, the credentials stay as they are.
 * @throws `database_unreachable` where the first read of the table fails
 */
export async function followCredentials({ database, unsealer, configured, logger }: CredentialsOptions): Promise<Credentials> {
  const inUse: Record<Dialect, ByTenant> = { anthropic: new Map(), openai: new Map() };
  const warned = new Set<string>();

  const newest = async (versions: readonly UpstreamCredential[], before: InUse | undefined): Promise<InUse | undefined> => {
    for (const version of versions) {
      if (version.sealed === before?.sealed) return before;
      const secret = await open(version);
      if (secret !== null) return { ...version, secret };
    }
    return undefined;
  };
  const open = async ({ dialect, tenant, version, sealed }: UpstreamCredential): Promise<Secret | null> => {
    try {
      const secret = await unsealer.open(sealed, { purpose: 'upstream', dialect, ...(tenant === null ? {} : { tenant }) });
      registerSecret(secret);
      return secret;
    } catch (error) {
      if (!ValetkeyError.is(error)) throw error;
      const row = JSON.stringify([dialect, tenant, version, sealed]);
      if (!warned.has(row))
        logger?.warn({ dialect, tenant, version, code: error.code }, `A stored credential cannot be used: ${error.message}`);
      warned.add(row);
      return null;
    }
  };
  const apply = async (stored: readonly UpstreamCredential[]): Promise<void> => {
    for (const dialect of DIALECTS) {
      const versionsOf = Map.groupBy(
        stored.filter((credential) => credential.dialect === dialect),
        ({ tenant }) => tenant,
      );
      const current = inUse[dialect];
      for (const tenant of new Set([...versionsOf.keys(), ...current.keys()])) {
        const before = current.get(tenant);
        const versions = versionsOf.get(tenant) ?? [];
        const opened = await newest(versions, before ?? undefined);
        const now = opened ?? (tenant !== null && versions.length > 0 ? null : undefined);
        if (now === before) continue;
        if (now === undefined) current.delete(tenant);
        else current.set(tenant, now);
        logger?.info({ dialect, tenant, version: now?.version ?? null }, 'The credential in use has changed.');
      }
    }
  };
  // A read over a broken connection must neither delay a newer read nor replace its result with a late answer.
  let begun = 0;
  let applied = 0;
  let applying = Promise.resolve();
  const read = async (connection: Parameters<typeof readUpstreamCredentials>[0]): Promise<void> => {
    const number = (begun += 1);
    const stored = await readUpstreamCredentials(connection);
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
  const organization = (dialect: Dialect): Secret | undefined => inUse[dialect].get(null)?.secret ?? configured[dialect];
  const hasAny = DIALECTS.some((dialect) => inUse[dialect].size > 0 || configured[dialect] !== undefined);
  if (!hasAny)
    logger?.warn(
      'There is no provider credential, so every request of an agent will be refused. Set ANTHROPIC_API_KEY or OPENAI_API_KEY, or store one.',
    );
  return {
    forTenant: (dialect, tenant) => {
      const own = inUse[dialect].get(tenant);
      return own === undefined ? organization(dialect) : own?.secret;
    },
    close: () => {
      clearInterval(timer);
      stop.abort();
    },
  };
}
