// No secret in errors: an answer or a connection string that holds a canary shows nowhere in the error that is made of it: not in its
// message, its stack, its cause, its JSON, nor where it is inspected.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';

import { afterEach, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest';

import { createClient } from '../../../src/client/client.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { ValetkeyError, type FailureCode } from '../../../src/contract/errors.ts';
import { BuiltinGateway } from '../../../src/gateways/builtin/builtin.ts';
import type { MintedKey } from '../../../src/gateways/gateway.ts';
import { createRootKeys } from '../../../src/keys/derive.ts';
import { putFile, readFile, runScript } from '../../../src/sandboxes/api.ts';
import { connectTo } from '../../../src/sandboxes/launch/connection.ts';
import type { SandboxConnection } from '../../../src/sandboxes/sandbox.ts';
import { seal } from '../../../src/secrets/seal.ts';
import { generateSealingKey } from '../../../src/secrets/sealing-key.ts';
import { Secret } from '../../../src/secrets/secret.ts';
import { createUnsealer } from '../../../src/secrets/unsealer.ts';
import { migrate, openDatabase } from '../../../src/store/database.ts';
import { startWorker } from '../../../src/worker/start.ts';
import { newDatabase } from '../../helpers/database.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';
import { generating, send, startRig, startUpstream } from '../../proxy/rig.ts';
import { searchFor } from '../../secret-scan/needles.ts';

const canary = 'canary-of-this-test-0123456789';
const owner = { tenant: 'acme', purpose: 'git-token' } as const;

/** Nothing of an error is left out. */
function expectClean(thrown: unknown): void {
  const texts = [String(thrown), thrown instanceof Error ? thrown.stack : '', JSON.stringify(thrown)];
  const text = [...texts, inspect(thrown, { depth: null, showHidden: true, getters: true })].join('\n');
  expect(searchFor([canary])(text), `the canary shows in ${text}`).toBe(false);
}

/** The code of what is thrown, after a look at all of it. */
async function codeOf(attempt: () => unknown): Promise<unknown> {
  const thrown: unknown = await (async () => attempt())().then(
    () => null,
    (error: unknown) => error,
  );
  expectClean(thrown);
  return ValetkeyError.is(thrown) ? thrown.code : thrown;
}

const ANSWERS = {
  'an error': `HTTP/1.1 500 ${canary}\r\nx-note: ${canary}\r\ncontent-length: ${canary.length}\r\n\r\n${canary}`,
  'a redirect': `HTTP/1.1 302 Found\r\nlocation: http://${canary}/\r\ncontent-length: 0\r\n\r\n`,
  'no HTTP': `${canary}\r\n\r\n`,
  'JSON of another shape': `HTTP/1.1 200 OK\r\ncontent-length: ${canary.length + 2}\r\n\r\n"${canary}"`,
};

/** The path of a socket whose server gives every request the same bytes, and hangs up. */
async function answering(bytes: string): Promise<string> {
  const server = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end(bytes)));
  const path = join(await temporaryFolder(), 'socket');
  server.listen(path);
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return path;
}

describe.each([
  ['builtin: mint', 'gateway_unreachable', ['an error', 'no HTTP'], (socketPath) => builtin(socketPath).mint()],
  ['builtin: probe', 'gateway_unreachable', ['an error', 'no HTTP'], (socketPath) => builtin(socketPath).probe(minted(canary))],
  ['sandbox: putFile', 'sandbox_lost', ['an error', 'a redirect', 'no HTTP'], (path) => putFile(sandbox(path), '/key', canary)],
  ['sandbox: readFile', 'sandbox_lost', ['an error', 'a redirect', 'no HTTP'], (path) => readFile(sandbox(path), '/key', 100)],
  [
    'sandbox: runScript',
    'sandbox_lost',
    ['an error', 'JSON of another shape'],
    (path) => runScript(sandbox(path), 'true', { TOKEN: canary }),
  ],
] satisfies [string, FailureCode, (keyof typeof ANSWERS)[], (socketPath: string) => Promise<unknown>][])(
  '%s',
  (_what, code, answers, attempt) => {
    test.each(answers)('told %s', async (answer) => {
      const socketPath = await answering(ANSWERS[answer]);
      expect(await codeOf(() => attempt(socketPath))).toBe(code);
    });
  },
);

function builtin(socketPath: string): BuiltinGateway {
  return new BuiltinGateway({ db: openDatabase('postgres://localhost/none').db, socketPath });
}

function sandbox(socketPath: string): SandboxConnection {
  return connectTo(socketPath, { home: '/home', workspace: '/workspace', gatewayUrl: 'http://127.0.0.1:1' });
}

test.each([
  ['refuses its credential', 403, ANSWERS['an error'].replace('500', '401')],
  ['speaks no HTTP', 502, ANSWERS['no HTTP']],
])('the gateway, whose provider %s', async (_what, status, bytes) => {
  const upstream = await startUpstream((req) => void req.socket.end(bytes));
  const rig = await startRig(upstream.url);
  const key = await rig.mint();
  const answer = await send(rig, key.secret, '/v1/messages', generating('hello')['/v1/messages']);
  const records = await rig.database.db.selectFrom('requests').selectAll().execute();
  await rig.close();
  await upstream.close();
  expect(answer.status).toBe(status);
  expectClean({ ...answer, headers: [...answer.headers], records });
});

test.each([
  ['a wrong password', (url: URL) => (url.password = canary)],
  ['nobody there', (url: URL) => ([url.password, url.port] = [canary, '1'])],
])('Postgres: %s', async (_what, change) => {
  const url = new URL(inject('postgresUrl'));
  change(url);
  const database = openDatabase(url.href);
  expect(await codeOf(() => migrate(database))).toBe('database_unreachable');
  await database.close();
});

describe('Temporal with an API key', () => {
  let config: ReturnType<typeof loadConfig>;
  beforeAll(async () => {
    config = loadConfig({ DATABASE_URL: await newDatabase(), VALETKEY_ROOT_KEY: Buffer.alloc(32).toString('base64') });
  });
  afterEach(() => vi.unstubAllEnvs());

  test.each([
    ['a server that speaks no TLS', canary, 'true', 'temporal_unreachable'],
    ['a key with a newline', `${canary}\ntail`, 'false', 'invalid_config'],
  ] as const)('%s', async (_what, key, tls, code) => {
    vi.stubEnv('TEMPORAL_ADDRESS', inject('temporal').address);
    vi.stubEnv('TEMPORAL_API_KEY', key);
    vi.stubEnv('TEMPORAL_TLS', tls);
    const client = codeOf(async () => (await createClient({ databaseUrl: String(config.databaseUrl) })).jobs.list());
    const worker = codeOf(() => startWorker({ config }));
    expect(await Promise.all([client, worker])).toEqual([code, code]);
  });
});

test.each([
  ['a root key that is none', 'invalid_config', () => createRootKeys(new Secret(canary))],
  ['a public key that is none', 'invalid_config', () => seal('token', { ...owner, publicKey: canary })],
  [
    'a secret that is too long',
    'invalid_spec',
    async () => seal(canary.repeat(200), { ...owner, publicKey: (await generateSealingKey()).publicKey }),
  ],
  ['a sealed secret that is none', 'sealed_unreadable', async () => (await ring()).open(canary, owner)],
  [
    'a sealed secret of another tenant',
    'sealed_unreadable',
    async () => (await ring()).open(await sealed(), { ...owner, tenant: 'other' }),
  ],
  [
    'a variable that is wrong',
    'invalid_config',
    () => loadConfig({ VALETKEY_ROOT_KEY: canary, VALETKEY_SEALING_KEY: canary, DATABASE_URL: canary }),
  ],
] satisfies [string, FailureCode, () => unknown][])('%s', async (_what, code, attempt) => {
  expect(await codeOf(attempt)).toBe(code);
});

const pair = generateSealingKey();

async function ring(): Promise<ReturnType<typeof createUnsealer>> {
  return createUnsealer(new Secret((await pair).privateKey));
}

async function sealed(): Promise<string> {
  return seal(canary, { ...owner, publicKey: (await pair).publicKey });
}

function minted(secret: string): MintedKey {
  return {
    ref: 'job/lease/1',
    id: null,
    attempts: 1,
    secret: new Secret(secret),
    upstreamSecret: new Secret(secret),
    mintedSecret: null,
    wasMinted: true,
  };
}
