// The real credential stays outside: whatever the strategy, a sandbox holds the job's own key, and the gateway sends the upstream credential
// in its place. Here the agent searches its world for a real credential, and the provider says which one it received. The short form of
// `npm run prove -- broker`.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';

import { seal } from '../../../src/secrets/seal.ts';
import { generateSealingKey } from '../../../src/secrets/sealing-key.ts';
import { newDatabase } from '../../helpers/database.ts';
import { killSandboxes } from '../../helpers/sandbox-remains.ts';
import { expectNoSecrets, findSecrets } from '../../helpers/secrets.ts';
import { jobSpec } from '../../helpers/stack.ts';
import { CELLS } from '../../proofs/broker/cells.ts';
import { CREDENTIALS, startBrokerRig, TENANT, type BrokerRig } from '../../proofs/broker/rig.ts';

const SECOND = 'second-credential-of-the-tenant';
let rig: BrokerRig;
beforeAll(async () => {
  rig = await startBrokerRig({ databaseUrl: await newDatabase(), temporal: { ...inject('temporal'), uiUrl: null } });
});
afterAll(async () => {
  await expectNoSecrets(rig.stack);
  await killSandboxes(rig.stack);
  await rig.close();
});

describe('no agent finds a real credential, and the provider receives the right one', () => {
  test.each(CELLS.filter(({ isSlow }) => isSlow !== true))('$name', async ({ run }) => {
    expect(await run(rig)).toBeNull();
  });
});

test('a stored credential that is rotated is sent with the next request of a running job; once it is removed, the job is refused', async () => {
  const { client } = rig.stack;
  const owner = { provider: 'openai', tenant: TENANT, name: 'rotated' } as const;
  const sealed = (secret: string): Promise<string> =>
    seal(secret, { purpose: 'upstream', provider: 'openai', tenant: TENANT, publicKey: rig.publicKey });
  await client.credentials.add({ ...owner, sealed: await sealed(CREDENTIALS['byok, stored']) });
  const credential = { strategy: 'byok', name: 'rotated' } as const;
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', credential, prompts: ['Remember plum.'], keepOpen: '5m' }));
  await turnEnds(jobId, 1);
  expect(credentialWith('plum')).toEqual([CREDENTIALS['byok, stored']]);

  expect(await client.credentials.rotate({ ...owner, sealed: await sealed(SECOND) })).toEqual({ version: 2 });
  await expect.poll(async () => credentialAfter(jobId)).toBe(SECOND);
  const [stored] = (await client.credentials.list()).filter(({ name }) => name === 'rotated');
  expect(stored).toMatchObject({ version: 2, lastUsedAt: expect.any(String) as unknown });

  expect(await client.credentials.remove(owner)).toEqual({ versions: [1, 2] });
  await expect.poll(async () => client.credentials.list()).not.toContainEqual(expect.objectContaining({ name: 'rotated' }));
  await client.jobs.prompt(jobId, 'Remember medlar.');
  const { outcome, failure } = await client.jobs.result(jobId);
  expect({ outcome, code: failure?.code }).toEqual({ outcome: 'failed', code: 'llm_unauthorized' });
  expect(failure?.message).toContain(`the credential rotated of the tenant ${TENANT}`);
  expect(credentialWith('medlar')).toEqual([]);
});

describe('a job whose credential cannot work is refused when it is submitted', () => {
  test.each([
    [
      'a stored one of the organization that is not there',
      { strategy: 'shared', name: 'none' },
      /^The organization has no credential none for openai, .* It has pool\.$/,
    ],
    [
      'a stored one of the tenant that is not there',
      { strategy: 'byok' },
      /^The tenant acme has no credential default for openai, .* It has max-plan, personal\.$/,
    ],
    [
      'one of the organization that is asked for as the tenant’s',
      { strategy: 'byok', name: 'pool' },
      /^The tenant acme has no credential pool/,
    ],
    [
      'one of the tenant that is asked for as the organization’s',
      { strategy: 'shared', name: 'personal' },
      /^The organization has no credential personal/,
    ],
  ] as const)('%s', async (_what, credential, message) => {
    await expect(rig.stack.client.jobs.submit(jobSpec({ agent: 'mock', credential }))).rejects.toMatchObject({
      code: 'credential_not_found',
      message: expect.stringMatching(message) as unknown,
    });
  });

  test.each([
    ['another tenant', { purpose: 'byok', provider: 'openai', tenant: 'other' }],
    ['another provider', { purpose: 'byok', provider: 'anthropic', tenant: TENANT }],
    ['another purpose', { purpose: 'tool', tenant: TENANT }],
  ] as const)('one that is sealed for %s', async (_what, owner) => {
    const credential = {
      strategy: 'byok',
      sealed: await seal(CREDENTIALS['byok, sealed'], { ...owner, publicKey: rig.publicKey }),
    } as const;
    await expect(rig.stack.client.jobs.submit(jobSpec({ agent: 'mock', credential }))).rejects.toMatchObject({
      code: 'invalid_spec',
      issues: [{ path: 'credential.sealed' }],
    });
  });
});

test.each([
  ['sealed for other gateways', CREDENTIALS['byok, sealed'], async () => (await generateSealingKey()).publicKey],
  ['no word that a header can hold', 'two\r\nx-api-key: lines', async () => rig.publicKey],
])('a job whose credential is %s fails with its first request, and nothing reaches the provider', async (_what, secret, keyOf) => {
  const { client } = rig.stack;
  const sealed = await seal(secret, { purpose: 'byok', provider: 'openai', tenant: TENANT, publicKey: await keyOf() });
  const { jobId } = await client.jobs.submit(
    jobSpec({ agent: 'mock', credential: { strategy: 'byok', sealed }, prompts: ['Remember quince.'] }),
  );
  expect(await client.jobs.result(jobId)).toMatchObject({ outcome: 'failed', failure: { code: 'sealed_unreadable' } });
  expect(rig.upstream.received('quince')).toEqual([]);
});

test('a client of one tenant stores, sees and removes credentials of that tenant alone', async () => {
  const { client } = rig.stack;
  const other = client.forTenant('other');
  const sealed = await seal(SECOND, { purpose: 'upstream', provider: 'openai', tenant: 'other', publicKey: rig.publicKey });
  expect(await other.credentials.list()).toEqual([]);
  expect(await other.credentials.add({ provider: 'openai', sealed })).toEqual({ version: 1 });
  expect(await other.credentials.list()).toMatchObject([{ tenant: 'other', name: 'default', version: 1 }]);
  await expect(other.credentials.add({ provider: 'openai', sealed })).rejects.toMatchObject({ code: 'credential_exists' });
  await expect(other.credentials.remove({ provider: 'openai', tenant: TENANT, name: 'personal' })).rejects.toMatchObject({
    code: 'invalid_spec',
  });
  await expect(other.credentials.remove({ provider: 'openai', name: 'personal' })).rejects.toMatchObject({ code: 'credential_not_found' });
  await expect(other.credentials.rotate({ provider: 'anthropic', sealed })).rejects.toMatchObject({ code: 'invalid_spec' });
});

test('after all of this no real credential stands in a history, a log, an event or the store', async () => {
  expect(await findSecrets(rig.stack, [...Object.values(CREDENTIALS), SECOND])).toEqual([]);
});

async function turnEnds(jobId: string, turn: number): Promise<void> {
  for await (const event of rig.stack.client.jobs.events(jobId)) if (event.type === 'turn.ended' && event.turn === turn) return;
}

/** The credentials that the provider received with the requests that hold a word. */
function credentialWith(word: string): (string | undefined)[] {
  return rig.upstream.received(word).map(({ headers }) => headers.authorization?.replace('Bearer ', ''));
}

/** The credential that the provider receives with another turn of a job. */
async function credentialAfter(jobId: string): Promise<string | undefined> {
  const word = `word-${Math.random()}`;
  const { turn } = await rig.stack.client.jobs.prompt(jobId, `Remember ${word}.`);
  await turnEnds(jobId, turn);
  return credentialWith(word)[0];
}
