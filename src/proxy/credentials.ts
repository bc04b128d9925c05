import { DIALECTS, type Dialect } from '../job/dialect.ts';
import { ValetkeyError } from '../job/errors.ts';
import type { KeyRing } from '../secrets/key-ring.ts';
import { learnSecret } from '../secrets/redact.ts';
import type { Secret } from '../secrets/secret.ts';
import type { Database } from '../store/database.ts';
import { listUpstreamCredentials, UPSTREAM_CHANNEL, type UpstreamCredential } from '../store/upstream-credentials.ts';
import type { Logger } from '../telemetry/log.ts';
import { hearChannel } from './channel.ts';

/** A notice can be lost, and a key ring that learns to open what is stored gives none. */
const CHECK_MS = 5_000;

/** The gateway's own credentials at the providers, as they are now. */
export interface Credentials {
  /** Undefined where there is none. */
  of(dialect: Dialect): Secret | undefined;
  close(): void;
}

export interface CredentialsOptions {
  database: Database;
  keyRing: KeyRing;
  /** What counts where none is stored that can be opened. */
  configured: Record<Dialect, Secret | undefined>;
  logger: Logger | undefined;
}

interface InUse extends UpstreamCredential {
  secret: Secret;
}

/**
 * Follows the stored credentials: of each dialect the newest counts that can be opened, and a new one from the moment that it is
 * stored. One that cannot be opened leaves the one before in use, and is warned of once. Throws `database_unreachable` where they
 * cannot be read at first; later they stay as they were meanwhile.
 */
export async function followCredentials({ database, keyRing, configured, logger }: CredentialsOptions): Promise<Credentials> {
  const inUse = new Map<Dialect, InUse>();
  const warned = new Set<string>();

  const newest = async (versions: readonly UpstreamCredential[], before: InUse | undefined): Promise<InUse | undefined> => {
    for (const version of versions) {
      if (version.sealed === before?.sealed) return before;
      const secret = await open(version);
      if (secret !== null) return { ...version, secret };
    }
    return undefined;
  };
  const open = async ({ dialect, version, sealed }: UpstreamCredential): Promise<Secret | null> => {
    try {
      const secret = await keyRing.open(sealed, { purpose: 'upstream', dialect });
      learnSecret(secret);
      return secret;
    } catch (error) {
      if (!ValetkeyError.is(error)) throw error;
      if (!warned.has(sealed)) logger?.warn({ dialect, version, code: error.code }, `a stored credential is not used: ${error.message}`);
      warned.add(sealed);
      return null;
    }
  };
  const read = async (): Promise<void> => {
    const stored = await listUpstreamCredentials(database.db);
    for (const dialect of DIALECTS) {
      const before = inUse.get(dialect);
      const now = await newest(
        stored.filter((credential) => credential.dialect === dialect),
        before,
      );
      if (now === before) continue;
      if (now === undefined) inUse.delete(dialect);
      else inUse.set(dialect, now);
      logger?.info({ dialect, version: now?.version ?? null }, 'another credential is in use');
    }
  };
  // One after the other: an older answer must not come to stand over a newer one.
  let reading = Promise.resolve();
  const readAgain = (): Promise<void> => (reading = reading.then(read, read));

  const stop = new AbortController();
  const refresh = (): void => void readAgain().catch(() => {});
  await hearChannel(database, { channel: UPSTREAM_CHANNEL, hear: refresh, catchUp: readAgain, stop: stop.signal, logger });
  const timer = setInterval(refresh, CHECK_MS);
  const of = (dialect: Dialect): Secret | undefined => inUse.get(dialect)?.secret ?? configured[dialect];
  if (DIALECTS.every((dialect) => of(dialect) === undefined))
    logger?.warn('ANTHROPIC_API_KEY and OPENAI_API_KEY are not set, and none is stored: every request of an agent will be refused');
  return {
    of,
    close: () => {
      clearInterval(timer);
      stop.abort();
    },
  };
}
