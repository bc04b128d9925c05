// No key outlives its job: where all of ours is down the key dies by itself, within its lease; and a job whose worker comes back
// goes on with the same key.
import { test } from 'vitest';

import { expectEnded, secretOf, statusWith } from '../../helpers/ended.ts';
import { processStack } from '../../helpers/process-stack.ts';
import { inMidTurn, slowly } from '../../helpers/slow-turn.ts';

/** Seconds. */
const LEASE = 8;

test('a key whose workers are all gone is refused when its lease is over, and accepted again by the next worker', async (context) => {
  const { expect } = context;
  const stack = await processStack(context, { environment: { VALETKEY_KEY_LEASE: `${LEASE}s` } });
  const jobId = await inMidTurn(stack, LEASE + 2, { agent: 'mock', prompts: [slowly(LEASE + 2), 'say hello'] });
  const [key] = (await stack.client.jobs.status(jobId)).keys;
  if (key === undefined) throw new Error('a job that runs has no key');
  // Longer than the lease, so that it was renewed.
  await expect.poll(() => Date.now() - Date.parse(key.mintedAt ?? '')).toBeGreaterThan(LEASE * 1000);
  expect(await statusWith(stack, secretOf(stack, key.ref))).toBe(200);
  // And so late in the turn that it ends before the lease does, whatever the start of the sandbox took.
  const usedAt = async () => Date.parse((await stack.client.jobs.status(jobId)).keys[0]?.firstUsedAt ?? '');
  await expect.poll(async () => Date.now() - (await usedAt())).toBeGreaterThan((LEASE - 2) * 1000);

  await stack.worker.kill('SIGKILL');
  const killedMs = Date.now();
  await expect.poll(() => statusWith(stack, secretOf(stack, key.ref))).toBe(401);
  expect(Date.now() - killedMs).toBeLessThan((LEASE + 2) * 1000);

  await stack.worker.start();
  const { keys } = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
  expect(keys).toHaveLength(1);
});
