// No secret in Temporal: not in inputs, results, heartbeats, memos, search attributes, failures or summaries; not in logs or events.
// Each file that runs jobs looks through all that its stack left (useStack); here each way to leak is tried on purpose, to see
// that the look finds it.
import { createSecretKey } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';

import { Client, Connection } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import { describe, expect, test } from 'vitest';

import { ValetkeyError } from '../../../src/contract/errors.ts';
import { searchAttributes } from '../../../src/contract/search-attributes.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { deriveSecret } from '../../../src/keys/derive.ts';
import { createRedactor } from '../../../src/secrets/redact.ts';
import { Secret } from '../../../src/secrets/secret.ts';
import { storeArtifact } from '../../../src/store/artifacts.ts';
import { openDatabase } from '../../../src/store/database.ts';
import type { Adapters } from '../../../src/worker/start.ts';
import { secretOf } from '../../helpers/ended.ts';
import { findSecrets, mintedSecrets } from '../../helpers/secrets.ts';
import { inMidTurn } from '../../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

/** Stands for a secret; nothing that a job knows, so that the look at the end of the file stays clean. */
const canary = 'canary-of-this-test-0123456789';
/** Heartbeats come soon here, so that they can be looked at. */
const stack = useStack({ adapt: leakWhereToldTo, environment: { VALETKEY_HEARTBEAT_INTERVAL: '2s' } });

/** A job's session leaks in the way that its id names. */
function leakWhereToldTo(adapters: Adapters): Adapters {
  const { session } = adapters;
  return {
    ...adapters,
    session: {
      ...session,
      runTurn: async (request) => {
        if (request.jobId === 'leaks-by-failure') throw new ValetkeyError('agent_failed', `the agent said ${canary}`);
        if (request.jobId !== 'leaks-by-heartbeat') return session.runTurn(request);
        return session.runTurn({ ...request, onState: (state) => request.onState({ ...state, sessionId: canary }) });
      },
    },
  };
}

describe('a canary is found', () => {
  test.each([
    ['in an input', canary],
    ['in an input, in base64 at any place', `x${Buffer.from(`ab${canary}yz`).toString('base64')}`],
  ])('%s', async (_where, planted) => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec({ prompts: [`say ${planted}`] }));
    await client.jobs.result(jobId);
    expect(await findSecrets(stack(), [canary])).toContain(`history of ${jobId}`);
  });

  test.each([
    ['a memo', { memo: { canary } }],
    ['a summary', { staticSummary: canary }],
    ['a search attribute', { typedSearchAttributes: new TypedSearchAttributes([{ key: searchAttributes.tenant, value: canary }]) }],
  ])('in %s', async (where, options) => {
    const { temporal, config } = stack();
    const connection = await Connection.connect({ address: temporal.address });
    const client = new Client({ connection, namespace: temporal.namespace });
    const workflowId = `leaks-by-${where.replaceAll(' ', '-')}`;
    const handle = await client.workflow.start('sandboxJob', {
      workflowId,
      ...options,
      taskQueue: config.taskQueue,
      startDelay: '1h',
      args: [],
    });
    await expect.poll(() => findSecrets(stack(), [canary])).toContain(`description of ${workflowId}`);
    await handle.terminate();
    await connection.close();
  });

  test('in the details of a heartbeat', async () => {
    const { client } = stack();
    await client.jobs.submit(jobSpec({ prompts: [withScript('Hang.', [{ hang: true }])] }), { id: 'leaks-by-heartbeat' });
    await expect.poll(() => findSecrets(stack(), [canary])).toContain('description of leaks-by-heartbeat');
    await client.jobs.cancel('leaks-by-heartbeat');
    await client.jobs.result('leaks-by-heartbeat');
  });

  test('in the message of a failure', async () => {
    const { client } = stack();
    await client.jobs.submit(jobSpec(), { id: 'leaks-by-failure' });
    await client.jobs.result('leaks-by-failure');
    expect(await findSecrets(stack(), [canary])).toContain('history of leaks-by-failure');
  });

  test('in a result, an event and a settlement', async () => {
    const { client } = stack();
    const own = `${canary}-said`;
    const { jobId } = await client.jobs.submit(jobSpec({ prompts: [withScript('Print it.', [{ say: own }])] }));
    await client.jobs.result(jobId);
    const found = await findSecrets(stack(), [own]);
    for (const place of [`history of ${jobId}`, 'table events', 'table settlements']) expect(found).toContain(place);
  });

  test('in an artifact and in the log', async () => {
    const { config } = stack();
    const own = `${canary}-stored`;
    const database = openDatabase(String(config.databaseUrl));
    await storeArtifact(database.db, 'leaks-by-artifact', 'patch', Buffer.from(`+${own}\n`));
    await database.close();
    await appendFile(join(config.stateDir, 'log.jsonl'), `{"msg":"${own}"}\n`);
    expect(await findSecrets(stack(), [own])).toEqual(['table artifacts', 'log']);
  });
});

test('while a turn runs its heartbeats are there to be looked at, and hold no secret', async () => {
  const { client, temporal } = stack();
  const jobId = await inMidTurn(stack(), 60);
  const connection = await Connection.connect({ address: temporal.address });
  const handle = new Client({ connection, namespace: temporal.namespace }).workflow.getHandle(jobId);
  const details = async () => (await handle.describe()).raw.pendingActivities?.[0]?.heartbeatDetails?.payloads;
  await expect.poll(details).toHaveLength(1);
  await connection.close();
  expect(await findSecrets(stack(), await mintedSecrets(stack()))).toEqual([]);
  await client.jobs.cancel(jobId);
  await client.jobs.result(jobId);
});

test('every key that was minted is among the secrets that are looked for', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec());
  const { keys } = await client.jobs.result(jobId);
  const secrets = await mintedSecrets(stack());
  expect(keys).toHaveLength(1);
  for (const { ref } of keys) expect(secrets).toContain(secretOf(stack(), ref));
});

test('a secret shows as a mask wherever a program writes it by accident', () => {
  const secret = new Secret(canary);
  expect([String(secret), JSON.stringify({ secret }), inspect({ secret })].join()).not.toContain(canary);
});

test('the log masks keys of jobs and configured credentials in whatever it is given', () => {
  const key = deriveSecret(createSecretKey(Buffer.alloc(32)), 'job/lease/1').reveal();
  const redact = createRedactor([new Secret(canary)]);
  expect(redact(`{"msg":"key ${key} and ${canary}"}`)).toBe('{"msg":"key [secret] and [secret]"}');
});
