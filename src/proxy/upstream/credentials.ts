import { DIALECTS, type Dialect } from '../../contract/dialect.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { learnSecret } from '../../secrets/redact.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { Unsealer } from '../../secrets/unsealer.ts';
import type { Database } from '../../store/database.ts';
import { subscribe } from '../../store/subscription.ts';
import { readUpstreamCredentials, UPSTREAM_CHANNEL, type UpstreamCredential } from '../../store/upstream-credentials.ts';
import type { Logger } from '../../telemetry/log.ts';

/** A notice can be lost, and a key ring that learns to open what is stored gives none. */
const CHECK_MS = 5_000;

/** The gateway's own credentials at the providers, as they are now. */
export interface Credentials {
  /**
   * The tenant's own, else the organization's, else the configured one; undefined where there is none, and where the tenant has one that cannot
   * be opened: another would pay. From memory.
   */
  of(dialect: Dialect, tenant: string): Secret | undefined;
  close(): void;
}

export interface CredentialsOptions {
  database: Database;
  unsealer: Unsealer;
  /** The organization's where none is stored that can be opened. */
  configured: Record<Dialect, Secret | undefined>;
  logger: Logger | undefined;
}

interface InUse extends UpstreamCredential {
  secret: Secret;
}

/** The stored credentials in use of one dialect, by tenant; null is the organization, or says that none of the tenant's can be opened. */
type ByTenant = Map<string | null, InUse | null>;

/**
 * Follows the stored credentials: for each dialect and tenant the newest counts that can be opened, and a new one from the moment that
 * it is stored. One that cannot be opened leaves the one before in use, and is warned of once. A credential that was sealed for one
 * tenant is used for no other. Where the table cannot be read later, the credentials stay as they were.
 * @throws `database_unreachable` where the table cannot be read at first
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
      learnSecret(secret);
      return secret;
    } catch (error) {
      if (!ValetkeyError.is(error)) throw error;
      const row = JSON.stringify([dialect, tenant, version, sealed]);
      if (!warned.has(row))
        logger?.warn({ dialect, tenant, version, code: error.code }, `A stored credential is not used: ${error.message}`);
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
        logger?.info({ dialect, tenant, version: now?.version ?? null }, 'Another credential is in use.');
      }
    }
  };
  // A read over a broken connection of the pool must not hold up that of a new one, nor its late answer replace what is newer.
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
  const timer = setInterval(refresh, CHECK_MS);
  const organization = (dialect: Dialect): Secret | undefined => inUse[dialect].get(null)?.secret ?? configured[dialect];
  const some = DIALECTS.some((dialect) => inUse[dialect].size > 0 || configured[dialect] !== undefined);
  if (!some)
    logger?.warn('ANTHROPIC_API_KEY and OPENAI_API_KEY are not set, and none is stored: every request of an agent will be refused.');
  return {
    of: (dialect, tenant) => {
      const own = inUse[dialect].get(tenant);
      return own === undefined ? organization(dialect) : own?.secret;
    },
    close: () => {
      clearInterval(timer);
      stop.abort();
    },
  };
}
