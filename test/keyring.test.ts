/** Root keys, sealing keys and the gateway's own credential are replaced while jobs run, and nothing is taken away that is needed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';

import { createClient } from '../src/client/client.ts';
import type { KeyRef } from '../src/contract/ref.ts';
import type { Stack } from '../src/dev/stack.ts';
import { createRootKeys } from '../src/keys/derive.ts';
import { createKeyring } from '../src/secrets/change-keyring.ts';
import { readKeyringFile, type KeyringContent } from '../src/secrets/keyring-file.ts';
import { seal } from '../src/secrets/seal.ts';
import { encodePublicKey } from '../src/secrets/sealing-key.ts';
import { Secret } from '../src/secrets/secret.ts';
import { openDatabase } from '../src/store/database.ts';
import { document, valetkey } from './cli/valetkey.ts';
import { statusWith } from './helpers/ended.ts';
import { killSandboxes } from './helpers/sandbox-remains.ts';
import { findSecrets } from './helpers/secrets.ts';
import { inMidTurn } from './helpers/slow-turn.ts';
import { jobSpec, testStack } from './helpers/stack.ts';

const MOCK = { agent: 'mock', model: 'gpt-5.1' } as const;

let folder: string;
let path: string;
let stack: Stack;
/** All that must show nowhere. */
const secrets = new Set<string>();
/** All that the command line said. */
const said: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vk-ring-'));
  path = join(folder, 'keyring.json');
  await createKeyring(path, {});
  stack = await testStack({ environment: { VALETKEY_KEYRING: path } });
});
afterAll(async () => {
  await killSandboxes(stack);
  await stack.stop();
  await rm(folder, { recursive: true });
});

test('a rotation under a running job: the job and its key end as ever, the next key hangs on the new root key, then the old goes', async () => {
  const old = ring();
  const jobId = await inMidTurn(stack, 0, { ...MOCK, prompts: ['!chunks 600 100'] });
  const key = await keyOf(jobId);
  expect(key.rootKeyId).toBe(old.rootKeys[0]?.id);
  const secret = derive(old, key);
  expect(await statusWith(stack, secret)).toBe(200);

  expect((await cli(['keyring', 'rotate'])).exitCode).toBe(0);
  const next = await stack.client.jobs.submit(jobSpec({ ...MOCK, prompts: ['!say done'] }));
  expect(await stack.client.jobs.result(next.jobId)).toMatchObject({ outcome: 'completed' });
  const nextKey = await keyOf(next.jobId);
  expect(nextKey.rootKeyId).toBe(ring().rootKeys[0]?.id);
  expect(nextKey.rootKeyId).not.toBe(key.rootKeyId);
  secrets.add(derive(ring(), nextKey));

  const refused = await cli(['keyring', 'prune', '--json']);
  expect({ exitCode: refused.exitCode, stdout: refused.stdout }).toEqual({ exitCode: 8, stdout: '' });
  expect(document(refused.stderr)).toMatchObject({
    error: { code: 'keyring_in_use', message: `the root key ${key.rootKeyId} is needed (active keys: 1)` },
  });
  expect(ring().rootKeys).toHaveLength(2);
  expect((await cli(['keyring', 'list'])).stdout).toMatch(new RegExp(`^root key +${key.rootKeyId} +old .+ active keys: 1$`, 'm'));
  expect(await listed()).toMatchObject({
    rootKeys: [
      { id: nextKey.rootKeyId, current: true, activeKeys: 0 },
      { id: key.rootKeyId, current: false, activeKeys: 1 },
    ],
  });

  expect(await statusWith(stack, secret)).toBe(200);
  await stack.client.jobs.interrupt(jobId);
  const { outcome, keys } = await stack.client.jobs.result(jobId);
  expect({ outcome, dead: keys.map(({ revokedAt }) => revokedAt !== null) }).toEqual({ outcome: 'completed', dead: [true] });
  expect(await statusWith(stack, secret)).toBe(401);

  const pruned = await cli(['keyring', 'prune', '--json']);
  expect(document(pruned.stdout)).toEqual({ removed: [key.rootKeyId, old.sealingKeys[0]?.kid] });
  expect(ring()).toMatchObject({ rootKeys: [{ id: nextKey.rootKeyId }], sealingKeys: [{}] });
});

test('a sealing key stays while a job runs that holds a secret for it, or a credential is stored for it', async () => {
  const [old] = ring().sealingKeys;
  if (old === undefined) throw new Error('the ring has no sealing key');
  // A job that nobody takes up runs on.
  const { client, config, temporal } = stack;
  const elsewhere = await createClient({
    databaseUrl: config.databaseUrl ?? '',
    taskQueue: `${config.taskQueue}-elsewhere`,
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  const gitToken = await seal('made-up-token', { tenant: 'acme', purpose: 'git-token', publicKey: encodePublicKey(old) });
  secrets.add('made-up-token');
  const workspace = { git: 'https://git.example/shop.git', gitToken };
  const { jobId } = await elsewhere.jobs.submit(jobSpec({ workspace }));
  await elsewhere.close();
  const right = stack.config.gateway.openai.credential?.reveal() ?? '';
  secrets.add(right);
  expect((await cli(['credentials', 'add', 'openai', '--json'], right)).exitCode).toBe(0);
  await expect.poll(async () => (await client.keyring.usage()).runningJobs.get(old.kid)).toBe(1);

  await cli(['keyring', 'rotate']);
  const refused = await cli(['keyring', 'prune']);
  expect(refused.exitCode).toBe(8);
  expect(refused.stderr).toContain(`the sealing key ${old.kid} is needed (running jobs: 1, stored credentials: 1)`);
  expect(ring().sealingKeys).toHaveLength(2);

  await terminate(jobId);
  await cli(['credentials', 'remove', 'openai']);
  await expect.poll(async () => (await client.keyring.usage()).runningJobs.size).toBe(0);
  expect((await cli(['keyring', 'prune'])).exitCode).toBe(0);
  expect(ring()).toMatchObject({ rootKeys: [{}], sealingKeys: [{}] });
});

test('without Temporal or Postgres nobody knows what is needed, and nothing is pruned', async () => {
  await cli(['keyring', 'rotate']);
  const before = ring();
  const [noTemporal, noPostgres] = await Promise.all([
    cli(['keyring', 'prune'], '', { TEMPORAL_ADDRESS: '127.0.0.1:1' }),
    cli(['keyring', 'prune'], '', { DATABASE_URL: 'postgres://valetkey@127.0.0.1:1/none' }),
  ]);
  expect([noTemporal.exitCode, noPostgres.exitCode]).toEqual([7, 7]);
  expect(ring()).toEqual(before);
});

test('a credential that is set on the command line is the gateway’s with the next request, in place of the one that it had', async () => {
  const { rootKeys } = ring();
  const jobId = await inMidTurn(stack, 0, { ...MOCK, prompts: ['!chunks 600 100'] });
  const key = derive(ring(), await keyOf(jobId));
  const right = stack.config.gateway.openai.credential?.reveal() ?? '';
  secrets.add(right).add('no-credential-of-the-model');
  for (const [action, credential, status] of [
    ['add', 'no-credential-of-the-model', 403],
    ['rotate', right, 200],
  ] as const) {
    const { stdout, stderr, exitCode } = await cli(['credentials', action, 'openai'], `${credential}\n`);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(/^Stored version \d of the credential default for openai of the organization\.$/);
    await expect.poll(async () => statusOfAnswer(stack, key)).toBe(status);
  }
  await stack.client.jobs.interrupt(jobId);
  expect(await stack.client.jobs.result(jobId)).toMatchObject({ outcome: 'completed' });
  expect(versionsSchema.parse(document((await cli(['credentials', 'list', '--json'])).stdout)).map(({ version }) => version)).toEqual([
    2, 1,
  ]);
  expect(ring().rootKeys).toEqual(rootKeys);
});

/** Of a request that the provider answers. */
async function statusOfAnswer({ gatewayUrl }: Stack, key: string): Promise<number> {
  const body = JSON.stringify({ model: MOCK.model, input: 'hello' });
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  return (await fetch(`${gatewayUrl}/v1/responses`, { method: 'POST', headers, body })).status;
}

test.each([
  ['two words', 'made-up credential'],
  ['nothing', ''],
])('%s is no credential: exit code 2, and it is not said', async (_what, credential) => {
  const { exitCode, stderr, stdout } = await cli(['credentials', 'add', 'anthropic'], credential);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain('one word of printable ASCII');
  expect(stderr).not.toContain('made-up');
});

test('a worker whose ring has not come yet fails with what a retry mends', () => {
  const [{ id } = { id: '' }] = ring().rootKeys;
  const behind = createRootKeys(new Secret(Buffer.alloc(32, 'another').toString('base64')));
  expect(() => behind.derive(id, 'job/lease/1')).toThrow(expect.objectContaining({ code: 'root_key_missing', retryable: true }));
});

test('after all of this no secret stands in a history, a log, an event or what the command line said', async () => {
  ring();
  expect(secrets.size).toBeGreaterThan(10);
  expect(await findSecrets(stack, [...secrets])).toEqual([]);
  for (const secret of secrets) expect(said.join('\n')).not.toContain(secret);
});

const versionsSchema = z.array(z.object({ provider: z.literal('openai'), version: z.number(), createdAt: z.iso.datetime() }));

async function cli(args: string[], input = '', environment: Record<string, string> = {}) {
  const { config, temporal } = stack;
  const env = {
    DATABASE_URL: config.databaseUrl ?? '',
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_TASK_QUEUE: config.taskQueue,
    VALETKEY_KEYRING: path,
    ...environment,
  };
  const result = await valetkey(args, { env, input });
  said.push(result.stdout, result.stderr);
  return result;
}

async function listed(): Promise<unknown> {
  return document((await cli(['keyring', 'list', '--json'])).stdout);
}

/** The ring as it is; its keys are secrets from then on. */
function ring(): KeyringContent {
  const { content } = readKeyringFile(path);
  for (const { key } of content.rootKeys) secrets.add(key);
  for (const { d } of content.sealingKeys) secrets.add(d);
  return content;
}

async function keyOf(jobId: string): Promise<{ ref: KeyRef; rootKeyId: string }> {
  const database = openDatabase(stack.config.databaseUrl ?? '');
  const row = await database.db.selectFrom('keys').select(['ref', 'root_key_id']).where('job_id', '=', jobId).executeTakeFirstOrThrow();
  await database.close();
  return { ref: row.ref, rootKeyId: row.root_key_id };
}

function derive({ rootKeys }: KeyringContent, { ref, rootKeyId }: { ref: KeyRef; rootKeyId: string }): string {
  const secret = createRootKeys(new Secret(rootKeys.map(({ key }) => key).join(',')))
    .derive(rootKeyId, ref)
    .reveal();
  secrets.add(secret);
  return secret;
}

async function terminate(jobId: string): Promise<void> {
  const { address, namespace } = stack.temporal;
  const connection = await Connection.connect({ address });
  await new Client({ connection, namespace }).workflow.getHandle(jobId).terminate();
  await connection.close();
}
