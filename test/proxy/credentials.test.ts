/** The gateway's own credential is replaced under traffic: no request fails, and the next one has the new credential. */
import type { IncomingMessage } from 'node:http';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { seal } from '../../src/secrets/seal.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer } from '../../src/secrets/unsealer.ts';
import { Gate } from '../helpers/gate.ts';
import { storeVersion } from '../helpers/stored-credential.ts';
import { CREDENTIAL, generating, send, startRig, startUpstream, until, type Rig, type TestKey, type Upstream } from './rig.ts';

const { privateKey, publicKey } = await generateSealingKey();
const PATHS = { anthropic: '/v1/messages', openai: '/v1/responses' } as const;

let upstream: Upstream;
let rig: Rig;
let key: TestKey;
/** Of each request that the provider got, in order. */
let seen: (string | undefined)[];
/** Holds the answers to requests whose prompt is `slow`. */
let gate: Gate;

beforeEach(async () => {
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
  rig = await startRig(upstream.url, { unsealer: createUnsealer(new Secret(privateKey)) });
  key = await rig.mint();
});
afterEach(async () => {
  await rig.close();
  await upstream.close();
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

test('the requests of a tenant go with its own credential, once there is one', async () => {
  await store('openai', 'organizations');
  await store('openai', 'of-another-tenant', 'other');
  await expect.poll(async () => latest('openai')).toBe('organizations');
  await store('openai', 'of-the-tenant', 'acme');
  await expect.poll(async () => latest('openai')).toBe('of-the-tenant');
  expect(seen).not.toContain('of-another-tenant');
});

async function store(provider: keyof typeof PATHS, credential: string, tenant?: string): Promise<number> {
  const owner = { provider, ...(tenant === undefined ? {} : { tenant }) };
  const sealed = await seal(credential, { purpose: 'upstream', ...owner, publicKey });
  return storeVersion(rig.database.db, { provider, tenant: tenant ?? null }, sealed);
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
