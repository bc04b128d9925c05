/** A job holds the token of a git server sealed: its own worker opens it, and Temporal, logs and events never have it. */
import { Client, Connection } from '@temporalio/client';
import { expect, test } from 'vitest';

import { seal } from '../../src/secrets/seal.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { expectEnded } from '../helpers/ended.ts';
import { findSecrets } from '../helpers/secrets.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';

const TOKEN = 'made-up-token-for-tests';
const { privateKey, publicKey } = await generateSealingKey();
const stack = useStack({ environment: { VALETKEY_SEALING_KEY: privateKey } });

test.each([
  ['of another tenant fails by that, and is not tried again', 'other', 'sealed_unreadable'],
  ['of its tenant is opened: the job gets as far as the server, which is not there', 'acme', 'git_unreachable'],
])('a job with a token %s', async (_what, tenant, code) => {
  const gitToken = await seal(TOKEN, { tenant, purpose: 'git-token', publicKey });
  const workspace = { git: 'https://127.0.0.1:9/shop.git', gitToken };
  const { jobId } = await stack().client.jobs.submit(jobSpec({ tenant: 'acme', workspace }));
  const { failure } = await expectEnded(stack(), jobId, { outcome: 'failed', code });
  expect(failure?.message.includes('another tenant')).toBe(code === 'sealed_unreadable');
  expect(await failedAttempts(jobId)).toEqual([1]);
  expect(await findSecrets(stack(), [TOKEN, privateKey])).toEqual([]);
});

/** Of each step that failed, which attempt was the last. */
async function failedAttempts(jobId: string): Promise<(number | null | undefined)[]> {
  const { address, namespace } = stack().temporal;
  const connection = await Connection.connect({ address });
  const { events } = await new Client({ connection, namespace }).workflow.getHandle(jobId).fetchHistory();
  await connection.close();
  return (events ?? []).flatMap(({ activityTaskFailedEventAttributes: failed }) => {
    if (!failed) return [];
    const started = events?.find(({ eventId }) => String(eventId) === String(failed.startedEventId));
    return [started?.activityTaskStartedEventAttributes?.attempt];
  });
}
