import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { JobCredential } from '../../src/contract/credential.ts';
import type { KeyRef } from '../../src/contract/ref.ts';
import { startPostgres } from '../../src/dev/postgres.ts';
import { seal } from '../../src/secrets/seal.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { migrate, openDatabase, type Db } from '../../src/store/database.ts';
import { activateKey, recordIntent } from '../../src/store/key-transitions.ts';
import { builtinSecrets } from '../../test/helpers/minted-key.ts';
import { storeVersion } from '../../test/helpers/stored-credential.ts';
import { startChild, type Child } from '../child.ts';
import { Closers } from '../closers.ts';
import { MODELS } from './call.ts';

export const OWNER = 'default/bench';
const TENANT = 'bench';
const KEY_LIFE_MS = 3_600_000;

export const CREDENTIALS = {
  /** The organization's, from the environment of the gateway. */
  builtin: { strategy: 'gateway', gateway: 'builtin' },
  /** The tenant's own, stored in Postgres. */
  byok: { strategy: 'byok', name: 'personal' },
} as const satisfies Record<string, JobCredential>;

/** Our gateway over a Postgres of its own. */
export interface Ours {
  replicas: Child[];
  postgresPid: number;
  db: Db;
  /** Makes an active key; its ref begins with its secret. */
  mint(key: { secret: string; budgetUsd: number; credential?: JobCredential }): Promise<KeyRef>;
  stop(): Promise<void>;
}

/** Starts replicas of our gateway, each a process of its own. Every limit is on, and none is met. */
export async function startOurs({ upstream, replicas = 1 }: { upstream: string; replicas?: number }): Promise<Ours> {
  const closers = new Closers();
  try {
    const dir = await mkdtemp(join(tmpdir(), 'valetkey-bench-'));
    closers.add(() => rm(dir, { recursive: true, force: true }));
    const postgres = await startPostgres();
    closers.add(() => postgres.stop());
    const database = openDatabase(postgres.url);
    closers.add(() => database.close());
    await migrate(database);
    const sealing = await generateSealingKey();
    await storeCredentials(database.db, sealing.publicKey);
    const environment = {
      DATABASE_URL: postgres.url,
      VALETKEY_GATEWAY_PORT: '0',
      VALETKEY_ANTHROPIC_BASE_URL: upstream,
      VALETKEY_OPENAI_BASE_URL: upstream,
      ANTHROPIC_API_KEY: 'upstream-credential-for-the-bench',
      OPENAI_API_KEY: 'upstream-credential-for-the-bench',
      VALETKEY_SEALING_KEY: sealing.privateKey,
      VALETKEY_KEY_REQUESTS_PER_MINUTE: '10000000',
      VALETKEY_TENANT_REQUESTS_PER_MINUTE: '10000000',
      VALETKEY_UPSTREAM_REQUESTS_PER_MINUTE: '10000000',
    };
    const started: Child[] = [];
    for (let index = 0; index < replicas; index += 1) {
      const stateDir = join(dir, String(index));
      const replica = await startChild('gateway-replica.ts', { ...environment, VALETKEY_STATE_DIR: stateDir });
      closers.add(() => replica.stop());
      started.push(replica);
    }
    const { db } = database;
    return { replicas: started, postgresPid: postgres.pid, db, mint: (key) => mint(db, key), stop: () => closers.close() };
  } catch (error) {
    await closers.close().catch(() => {});
    throw error;
  }
}

async function storeCredentials(db: Db, publicKey: string): Promise<void> {
  const { name } = CREDENTIALS.byok;
  for (const provider of ['anthropic', 'openai'] as const) {
    const owner = { provider, tenant: TENANT } as const;
    const sealed = await seal('upstream-credential-of-the-tenant', { purpose: 'upstream', ...owner, publicKey });
    await storeVersion(db, { ...owner, name }, sealed);
  }
}

async function mint(db: Db, { secret, budgetUsd, credential = CREDENTIALS.builtin }: Parameters<Ours['mint']>[0]): Promise<KeyRef> {
  const ref: KeyRef = `${secret}/bench/1`;
  const expiresAt = new Date(Date.now() + KEY_LIFE_MS);
  const models = [...new Set(Object.values(MODELS))];
  const key = { ref, jobId: secret, tenant: TENANT, generation: 1, gateway: 'builtin', credential, models, budgetUsd } as const;
  await recordIntent(db, { ...key, owner: OWNER, rootKeyId: 'none', expiresAt, hardExpiresAt: expiresAt });
  await activateKey(db, key, builtinSecrets(secret));
  return ref;
}
