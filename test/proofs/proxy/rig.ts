import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import type { KeyRef } from '../../../src/contract/ref.ts';
import { migrate, openDatabase, type Database } from '../../../src/store/database.ts';
import { activateKey, beginEnd, recordIntent } from '../../../src/store/key-transitions.ts';
import { builtinSecrets } from '../../helpers/minted-key.ts';
import { OF_GATEWAY } from '../../helpers/stored-credential.ts';
import { call, type Answer, type Call } from './call.ts';
import { startGateway, type Gateway, type GatewayOptions } from './gateway.ts';
import { CREDENTIAL, MODELS } from './models.ts';
import { startProvider, type Provider } from './provider.ts';

/** Beyond what the cases and the fuzz can reach: those of limits set their own. */
const NO_LIMITS = {
  VALETKEY_KEY_REQUESTS_PER_MINUTE: '10000000',
  VALETKEY_KEY_CONCURRENT_REQUESTS: '1000',
  VALETKEY_TENANT_REQUESTS_PER_MINUTE: '10000000',
  VALETKEY_UPSTREAM_REQUESTS_PER_MINUTE: '10000000',
};

/** A record follows its answer, unless its caller left a provider that is silent. */
const SETTLED_MS = 15_000;

const amount = z.coerce.number();
const rowSchema = z.object({
  status: z.number().nullable(),
  code: z.string().nullable(),
  usd: amount,
  input_tokens: amount,
  output_tokens: amount,
  reserved_usd: amount.default(0),
  estimated: z.boolean().default(false),
  implausible: z.boolean().default(false),
  is_open: z.boolean(),
});

/** A request as it stands on record. */
export type Row = z.output<typeof rowSchema>;

export interface Key {
  ref: KeyRef;
  jobId: string;
  secret: string;
  tenant: string;
}

/** A Postgres, a hostile provider and a gateway between them. */
export interface Rig {
  database: Database;
  databaseUrl: string;
  provider: Provider;
  /** The one without limits, for most cases. */
  readonly gateway: Gateway;
  /** Ends of gateways that nobody asked for. */
  crashes: string[];
  /** The longest blocks of the common gateway's event loop that the cases met, ms. */
  blocks: number[];
  mint(change?: { budgetUsd?: number; models?: readonly string[]; expiresInMs?: number; tenant?: string }): Promise<Key>;
  revoke(key: Key): Promise<void>;
  /** One exchange with the common gateway. */
  ask(what: Call): Promise<Answer>;
  /** Starts a gateway for one case. */
  startOwn(change?: Partial<GatewayOptions>): Promise<Gateway>;
  /** The key's requests, the oldest first, once none is open or 15 s have passed. */
  rows(key: Key, timeoutMs?: number): Promise<Row[]>;
  /** How many requests of any key are open, once none is or 15 s have passed. */
  openRows(): Promise<number>;
  /** Starts the common gateway again where it has crashed. */
  ready(): Promise<void>;
  stopOwn(): Promise<void>;
  close(): Promise<void>;
}

/** Starts everything on an empty database. */
export async function startRig(databaseUrl: string): Promise<Rig> {
  const database = openDatabase(databaseUrl);
  await migrate(database);
  const provider = await startProvider();
  const crashes: string[] = [];
  const own: Gateway[] = [];
  const start = async ({ env, ...change }: Partial<GatewayOptions> = {}): Promise<Gateway> =>
    startGateway({
      ...change,
      env: {
        ...NO_LIMITS,
        DATABASE_URL: databaseUrl,
        VALETKEY_ANTHROPIC_BASE_URL: provider.url,
        VALETKEY_OPENAI_BASE_URL: provider.url,
        ANTHROPIC_API_KEY: CREDENTIAL,
        OPENAI_API_KEY: CREDENTIAL,
        ...env,
      },
      onCrash: (how) => crashes.push(how),
    });
  let gateway = await start();
  let restarting: Promise<void> | null = null;
  const rows = async (key: Key): Promise<Row[]> => {
    const { rows: found } = await database.pool.query('select *, ended_at is null as is_open from requests where ref = $1 order by id', [
      key.ref,
    ]);
    return z.array(rowSchema).parse(found);
  };
  return {
    database,
    databaseUrl,
    provider,
    crashes,
    blocks: [],
    get gateway() {
      return gateway;
    },
    mint: async ({ budgetUsd = 1_000, models = MODELS, expiresInMs = 3_600_000, tenant = 'acme' } = {}) => {
      const jobId = `job-${randomUUID()}`;
      const key: Key = { ref: `${jobId}/lease/1`, jobId, secret: `key-${randomUUID()}`, tenant };
      const expiresAt = new Date(Date.now() + expiresInMs);
      await recordIntent(database.db, { ...identity(key), rootKeyId: 'none', models, budgetUsd, expiresAt, hardExpiresAt: expiresAt });
      await activateKey(database.db, identity(key), builtinSecrets(key.secret));
      return key;
    },
    revoke: async (key) => void (await beginEnd(database.db, identity(key), 'revoked')),
    ask: async (what) => call(gateway, what),
    startOwn: async (change) => {
      const started = await start(change);
      own.push(started);
      return started;
    },
    rows: async (key, timeoutMs = SETTLED_MS) => {
      const until = Date.now() + timeoutMs;
      for (;;) {
        const found = await rows(key);
        if (Date.now() > until || found.every((row) => !row.is_open)) return found;
        await sleep(20);
      }
    },
    openRows: async () => {
      const until = Date.now() + SETTLED_MS;
      for (;;) {
        const { rows: found } = await database.pool.query<{ open: number }>(
          'select count(*)::int as open from requests where ended_at is null',
        );
        const open = found[0]?.open ?? 0;
        if (open === 0 || Date.now() > until) return open;
        await sleep(50);
      }
    },
    ready: async () => {
      if (gateway.isRunning) return;
      restarting ??= gateway.stop().then(async () => {
        gateway = await start();
        restarting = null;
      });
      await restarting;
    },
    stopOwn: async () => {
      await Promise.all(own.splice(0).map(async (started) => started.stop()));
    },
    close: async () => {
      await Promise.all([gateway, ...own].map(async (started) => started.stop()));
      await provider.close();
      await database.close();
    },
  };
}

function identity({ ref, jobId, tenant }: Key) {
  return { ref, jobId, tenant, generation: 1, gateway: 'builtin', credential: OF_GATEWAY, owner: 'default/proof' } as const;
}
