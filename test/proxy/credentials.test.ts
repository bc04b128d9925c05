/** The gateway's own credential is replaced under traffic: no request fails, and the next one has the new credential. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { createKeyRing } from '../../src/secrets/key-ring.ts';
import { seal } from '../../src/secrets/seal.ts';
import { newSealingKey } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { addUpstreamCredential, forgetUpstreamCredential } from '../../src/store/upstream-credentials.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { Gate } from '../gate.ts';
import { CREDENTIAL, generating, send, startRig, startUpstream, until, type Rig, type TestKey, type Upstream } from './rig.ts';

const { privateKey, publicKey } = await newSealingKey();
const PATHS = { anthropic: '/v1/messages', openai: '/v1/responses' } as const;

let folder: string;
let upstream: Upstream;
let rig: Rig;
let key: TestKey;
/** Of each request that the provider got, in order. */
let seen: (string | undefined)[];
/** Holds the answers to requests whose prompt is `slow`. */
let gate: Gate;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vk-credentials-'));
  seen = [];
  gate = new Gate();
  upstream = await startUpstream((req, res) => {
    seen.push(credentialOf(req));
    let body = '';
    req.on('data', (chunk: Buffer) => (body += chunk.toString()));
    req.on('end', () => {
      const held = body.includes('slow') ? gate.pass() : Promise.resolve();
      void held.then(() => res.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
    });
  });
  const logger = createLogger({ level: 'debug', file: join(folder, 'log.jsonl') });
  rig = await startRig(upstream.url, { keyRing: createKeyRing(new Secret(privateKey)), logger });
  key = await rig.mint();
});
afterEach(async () => {
  await rig.close();
  await upstream.close();
  await rm(folder, { recursive: true });
});

test('a request in flight ends with the old credential, the next has the new one, and none fails', async () => {
  const inFlight = ask('openai', 'slow');
  await gate.reached;
  await store('openai', 'second-credential');
  await expect.poll(async () => latest('openai')).toBe('second-credential');
  gate.open();
  expect((await inFlight).status).toBe(200);
  expect(seen[0]).toBe(CREDENTIAL);
  expect(await latest('anthropic')).toBe(CREDENTIAL);
  expect((await rig.ended(key)).filter(({ status }) => status !== 200)).toEqual([]);
});

test('under traffic the credential changes once, for all requests that begin from then on, and none fails', async () => {
  const over = new AbortController();
  const statuses: number[] = [];
  const traffic = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!over.signal.aborted) statuses.push((await ask('anthropic')).status);
    }),
  );
  await until(() => seen.length >= 20);
  await store('anthropic', 'second-credential');
  await until(() => seen.filter((credential) => credential === 'second-credential').length >= 20);
  over.abort();
  await traffic;
  expect(new Set(statuses)).toEqual(new Set([200]));
  const change = seen.indexOf('second-credential');
  // Those that were on their way to the provider at that moment can get there in any order.
  expect(seen.slice(0, change).every((credential) => credential === CREDENTIAL)).toBe(true);
  expect(seen.slice(change + 4).every((credential) => credential === 'second-credential')).toBe(true);
});

test.each([
  [
    'for a key that the gateway does not have',
    async () => seal('stranger', { purpose: 'upstream', dialect: 'openai', publicKey: (await newSealingKey()).publicKey }),
  ],
  ['for the other provider', async () => seal('stranger', { purpose: 'upstream', dialect: 'anthropic', publicKey })],
  ['for a job', async () => seal('stranger', { purpose: 'git-token', tenant: 'acme', publicKey })],
])('a credential that is sealed %s leaves the one before in use, and the log warns of it', async (_what, sealing) => {
  await store('openai', 'second-credential');
  await expect.poll(async () => latest('openai')).toBe('second-credential');
  const version = await addUpstreamCredential(rig.database.db, 'openai', await sealing());
  await expect.poll(log).toContain(`"version":${version},"code":"sealed_unreadable"`);
  expect(await latest('openai')).toBe('second-credential');
  expect(seen).not.toContain('stranger');
});

test('a version that is forgotten gives way to the one before, and the last to that of the environment', async () => {
  await store('openai', 'first-stored');
  await store('openai', 'second-stored');
  for (const [version, before] of [
    [2, 'first-stored'],
    [1, CREDENTIAL],
  ] as const) {
    expect(await forgetUpstreamCredential(rig.database.db, 'openai', version)).toBe(true);
    await expect.poll(async () => latest('openai')).toBe(before);
  }
  expect(await forgetUpstreamCredential(rig.database.db, 'openai', 1)).toBe(false);
});

test('a gateway whose connection to Postgres breaks comes to know what was stored meanwhile', async () => {
  await rig.database.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  );
  await store('openai', 'second-credential');
  await expect.poll(async () => latest('openai')).toBe('second-credential');
});

test('credentials that are stored at once become versions of their own', async () => {
  const versions = await Promise.all(['a', 'b', 'c', 'd'].map((text) => store('anthropic', `${text}-credential`)));
  expect(new Set(versions)).toEqual(new Set([1, 2, 3, 4]));
});

test('a stored credential is in no log', async () => {
  await store('openai', 'second-credential-that-nobody-may-see');
  await expect.poll(async () => latest('openai')).toBe('second-credential-that-nobody-may-see');
  const logger = createLogger({ level: 'info', file: join(folder, 'log.jsonl') });
  logger.info('the provider said: second-credential-that-nobody-may-see is no key');
  expect(await log()).toContain('the provider said');
  expect(await log()).not.toContain('nobody-may-see');
});

async function store(dialect: keyof typeof PATHS, credential: string): Promise<number> {
  return addUpstreamCredential(rig.database.db, dialect, await seal(credential, { purpose: 'upstream', dialect, publicKey }));
}

async function ask(dialect: keyof typeof PATHS, prompt = 'hello') {
  return send(rig, key.secret, PATHS[dialect], generating(prompt)[PATHS[dialect]]);
}

/** The credential that the provider gets with a request now. */
async function latest(dialect: keyof typeof PATHS): Promise<string | undefined> {
  expect((await ask(dialect)).status).toBe(200);
  return seen.at(-1);
}

function credentialOf({ headers: { authorization, 'x-api-key': apiKey } }: IncomingMessage): string | undefined {
  return apiKey === undefined ? authorization?.replace('Bearer ', '') : String(apiKey);
}

async function log(): Promise<string> {
  return readFile(join(folder, 'log.jsonl'), 'utf8');
}
