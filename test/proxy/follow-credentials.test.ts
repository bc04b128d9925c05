/** The credential of a request is its tenant's, else the organization's, and what was sealed for one of them opens for no other. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import type { Dialect } from '../../src/contract/dialect.ts';
import { followCredentials, type UpstreamCredentials } from '../../src/proxy/upstream/credentials.ts';
import { seal } from '../../src/secrets/seal.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer } from '../../src/secrets/unsealer.ts';
import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { listCredentials, removeCredential } from '../../src/store/upstream-credentials.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { newDatabase } from '../helpers/database.ts';
import { OF_GATEWAY, storeVersion } from '../helpers/stored-credential.ts';

const CONFIGURED = 'configured-credential';
const { privateKey, publicKey } = await generateSealingKey();

let folder: string;
let database: Database;
let credentials: UpstreamCredentials;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vk-credentials-'));
  database = openDatabase(await newDatabase());
  await migrate(database);
  credentials = await follow();
});
afterEach(async () => {
  credentials.close();
  await database.close();
  await rm(folder, { recursive: true });
});

function follow(): Promise<UpstreamCredentials> {
  const logger = createLogger({ level: 'debug', file: join(folder, 'log.jsonl') });
  const configured = { anthropic: undefined, openai: new Secret(CONFIGURED) };
  return followCredentials({ database, unsealer: createUnsealer(new Secret(privateKey)), configured, logger });
}

/** Seals for an owner, and stores for the same one, or for another. */
async function store(credential: string, tenant: string | null = null, storedFor = tenant, provider: Dialect = 'openai'): Promise<number> {
  const owner = { provider, ...(tenant === null ? {} : { tenant }) };
  const sealed = await seal(credential, { purpose: 'upstream', ...owner, publicKey });
  return storeVersion(database.db, { provider: 'openai', tenant: storedFor }, sealed);
}

async function forget(version: number, tenant: string | null = 'acme'): Promise<boolean> {
  return (await removeCredential(database.db, { provider: 'openai', tenant, name: 'default' }, version)).length === 1;
}

const inUse = (tenant = 'acme', dialect: Dialect = 'openai'): string | undefined => {
  const secret = credentials.find(dialect, { ref: 'job/lease/1', tenant, credential: OF_GATEWAY, upstreamSealed: null });
  return secret instanceof Secret ? secret.reveal() : undefined;
};
const log = async (): Promise<string> => readFile(join(folder, 'log.jsonl'), 'utf8');

test('a tenant has its own credential; every other has the organization’s, and without one the configured', async () => {
  expect([inUse('acme'), inUse('acme', 'anthropic')]).toEqual([CONFIGURED, undefined]);
  await store('acmes-credential', 'acme');
  await expect.poll(() => inUse()).toBe('acmes-credential');
  expect([inUse('other'), inUse(''), inUse('acme', 'anthropic')]).toEqual([CONFIGURED, CONFIGURED, undefined]);
  await store('organizations-credential');
  await expect.poll(() => inUse('other')).toBe('organizations-credential');
  expect(inUse('acme')).toBe('acmes-credential');
  // One that starts now finds the same.
  credentials.close();
  credentials = await follow();
  expect([inUse('acme'), inUse('other')]).toEqual(['acmes-credential', 'organizations-credential']);
});

test('versions are counted for each provider and tenant, also where several are stored at once', async () => {
  const versions = await Promise.all([0, 1, 2, 3].map((index) => store(`credential-${index}`, index < 2 ? 'acme' : null)));
  expect(versions.toSorted((a, b) => a - b)).toEqual([1, 1, 2, 2]);
  const stored = await listCredentials(database.db);
  expect(stored.map(({ provider, tenant, version }) => [provider, tenant, version])).toEqual([
    ['openai', null, 2],
    ['openai', null, 1],
    ['openai', 'acme', 2],
    ['openai', 'acme', 1],
  ]);
});

test('a tenant’s version that is forgotten gives way to the one before, then to the organization’s; others stay', async () => {
  await store('organizations-credential');
  await store('first-credential', 'acme');
  await store('second-credential', 'acme');
  await expect.poll(() => inUse()).toBe('second-credential');
  expect(await forget(2)).toBe(true);
  await expect.poll(() => inUse()).toBe('first-credential');
  expect(await forget(1)).toBe(true);
  await expect.poll(() => inUse()).toBe('organizations-credential');
  expect([await forget(1), await forget(1, 'other')]).toEqual([false, false]);
  expect(await forget(1, null)).toBe(true);
  await expect.poll(() => inUse()).toBe(CONFIGURED);
});

test.each<[string, () => Promise<number>]>([
  ['for another tenant', () => store('stranger-credential', 'other', 'acme')],
  ['for the organization', () => store('stranger-credential', null, 'acme')],
  ['for the other provider', () => store('stranger-credential', 'acme', 'acme', 'anthropic')],
  [
    'for a job of the tenant',
    async () =>
      storeVersion(
        database.db,
        { provider: 'openai', tenant: 'acme' },
        await seal('stranger-credential', { purpose: 'git-token', tenant: 'acme', publicKey }),
      ),
  ],
  [
    'for a key that the gateway does not have',
    async () =>
      storeVersion(
        database.db,
        { provider: 'openai', tenant: 'acme' },
        await seal('stranger-credential', {
          purpose: 'upstream',
          provider: 'openai',
          tenant: 'acme',
          publicKey: (await generateSealingKey()).publicKey,
        }),
      ),
  ],
])('a tenant’s credential that is sealed %s leaves the one before in use, and the log warns of it', async (_what, storing) => {
  await store('acmes-credential', 'acme');
  await expect.poll(() => inUse()).toBe('acmes-credential');
  const version = await storing();
  await expect.poll(log).toContain(`"tenant":"acme","name":"default","version":${version},"code":"sealed_unreadable"`);
  expect(inUse()).toBe('acmes-credential');
});

test('a tenant whose only credential cannot be opened has none: the organization does not pay in its place', async () => {
  await store('organizations-credential');
  await expect.poll(() => inUse()).toBe('organizations-credential');
  await store('stranger-credential', 'other', 'acme');
  await expect.poll(() => inUse()).toBeUndefined();
  expect(inUse('other')).toBe('organizations-credential');
  expect(await forget(1)).toBe(true);
  await expect.poll(() => inUse()).toBe('organizations-credential');
});

test('a credential that is sealed for a tenant does not become the organization’s', async () => {
  const version = await store('acmes-credential', 'acme', null);
  await expect.poll(log).toContain(`"tenant":null,"name":"default","version":${version},"code":"sealed_unreadable"`);
  expect([inUse('acme'), inUse('other')]).toEqual([CONFIGURED, CONFIGURED]);
});

test('a gateway whose connection to Postgres breaks learns what was stored meanwhile', async () => {
  await database.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  );
  await store('acmes-credential', 'acme');
  await expect.poll(() => inUse(), { timeout: 2_000 }).toBe('acmes-credential');
});

test('a stored credential is in no log', async () => {
  await store('a-credential-that-nobody-may-see', 'acme');
  await expect.poll(() => inUse()).toBe('a-credential-that-nobody-may-see');
  const logger = createLogger({ level: 'info', file: join(folder, 'log.jsonl') });
  logger.info('the provider said: a-credential-that-nobody-may-see is no key');
  expect(await log()).toContain('the provider said');
  expect(await log()).not.toContain('nobody-may-see');
});
