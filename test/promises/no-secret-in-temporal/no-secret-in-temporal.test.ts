// No secret in Temporal: not in inputs, results, heartbeats, memos, search attributes, failures or summaries; not in logs or events.
// Each file that runs jobs looks through all that its stack left (useStack); here each way to leak is tried on purpose, to see
// that the look finds it.
import { inspect } from 'node:util';

import { Client, Connection } from '@temporalio/client';
import { describe, expect, test } from 'vitest';

import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { deriveSecret } from '../../../src/keys/derive.ts';
import { createRedactor } from '../../../src/secrets/redact.ts';
import { Secret } from '../../../src/secrets/secret.ts';
import { rootKeyOf } from '../../ended.ts';
import { base64Of, findSecrets, mintedSecrets } from '../../secrets.ts';
import { jobSpec, useStack } from '../../stack.ts';

const stack = useStack();
/** Stands for a secret; nothing that a job knows, so that the look at the end of the file stays clean. */
const canary = 'canary-of-this-test-0123456789';

describe('a canary is found', () => {
  test.each([
    ['in an input', canary],
    ['in an input, in base64 at any place', `x${Buffer.from(`ab${canary}yz`).toString('base64')}`],
  ])('%s', async (_where, planted) => {
    const { client } = stack();
    const { jobId } = await client.submit(jobSpec({ prompts: [`say ${planted}`] }));
    await client.result(jobId);
    expect(await findSecrets(stack(), [canary])).toContain(`history of ${jobId}`);
  });

  test('in a memo', async () => {
    const { temporal, config } = stack();
    const connection = await Connection.connect({ address: temporal.address });
    const client = new Client({ connection, namespace: temporal.namespace });
    const handle = await client.workflow.start('sandboxJob', {
      workflowId: 'leaky',
      taskQueue: config.taskQueue,
      memo: { canary },
      startDelay: '1h',
      args: [],
    });
    await expect.poll(() => findSecrets(stack(), [canary])).toContain('description of leaky');
    await handle.terminate();
    await connection.close();
  });

  test('in an event', async () => {
    const { client } = stack();
    const { jobId } = await client.submit(jobSpec({ prompts: [withScript('Print it.', [{ say: canary }])] }));
    await client.result(jobId);
    expect(await findSecrets(stack(), [canary])).toContain('events');
  });
});

test('every key that was minted is among the secrets that are looked for', async () => {
  const { client } = stack();
  const { jobId } = await client.submit(jobSpec());
  const { keys } = await client.result(jobId);
  const secrets = await mintedSecrets(stack());
  expect(keys).toHaveLength(1);
  for (const { ref } of keys) expect(secrets).toContain(deriveSecret(rootKeyOf(stack()), ref).reveal());
});

test('a secret shows as a mask wherever a program writes it by accident', () => {
  const secret = new Secret(canary);
  expect([String(secret), JSON.stringify({ secret }), inspect({ secret })].join()).not.toContain(canary);
});

test('the log masks keys of jobs and configured credentials in whatever it is given', () => {
  const key = deriveSecret(new Secret(Buffer.alloc(32).toString('base64')), 'job/lease/1').reveal();
  const redact = createRedactor([new Secret(canary)]);
  expect(redact(`{"msg":"key ${key} and ${canary}"}`)).toBe('{"msg":"key [secret] and [secret]"}');
});

test('base64 shows a secret at each of the three places where it can begin', () => {
  for (const before of ['', 'a', 'ab']) {
    const encoded = Buffer.from(`${before}${canary}and more`).toString('base64');
    expect(base64Of(canary).some((needle) => encoded.includes(needle))).toBe(true);
  }
});
