// No key outlives its job: the schedules that a worker applies do their work by themselves, and its metrics tell what they found.
import { Client, Connection } from '@temporalio/client';
import { test } from 'vitest';

import { secretOf, statusWith } from '../../helpers/ended.ts';
import { processStack } from '../../helpers/process-stack.ts';
import { sandboxRemains } from '../../helpers/sandbox-remains.ts';
import { jobSpec } from '../../helpers/stack.ts';

/** ms. */
const ENVIRONMENT = {
  VALETKEY_SWEEP_INTERVAL: '1s',
  VALETKEY_INVENTORY_INTERVAL: '4s',
  VALETKEY_SWEEP_GRACE: '1s',
  VALETKEY_ROTATE_AFTER: '5s',
};

test('keys that are too old are rotated, and those of a job that was terminated are ended and counted', async (context) => {
  const { expect } = context;
  const stack = await processStack(context, { environment: ENVIRONMENT });
  const { client, config, temporal } = stack;
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say one'], keepOpen: '2m' }));
  const newest = async (): Promise<number> => (await client.keys.list({ jobId })).items[0]?.generation ?? 0;
  await expect.poll(newest).toBeGreaterThanOrEqual(2);
  const metrics = async (): Promise<string> => (await fetch(`http://${config.metricsAddress}/metrics`)).text();
  await expect.poll(metrics).toMatch(/^valetkey_active_keys\S* 1$/m);
  await expect.poll(metrics).toMatch(/^valetkey_key_time_to_revoked_count\{[^}]*cause="rotated"[^}]*\} [1-9]/m);

  const connection = await Connection.connect({ address: temporal.address });
  await new Client({ connection, namespace: temporal.namespace }).workflow.getHandle(jobId).terminate();
  await connection.close();
  const statuses = async (): Promise<number[]> =>
    Promise.all((await client.keys.list({ jobId })).items.map(async ({ ref }) => statusWith(stack, secretOf(stack, ref))));
  await expect.poll(async () => (await statuses()).every((status) => status === 401)).toBe(true);
  await expect.poll(metrics).toMatch(/^valetkey_sweep_findings\{[^}]*action="ended"[^}]*kind="closed_job"[^}]*\} [1-9]/m);
  for (const line of [
    /^valetkey_active_keys\S* 0$/m,
    /^valetkey_stuck_keys\S* 0$/m,
    /^valetkey_key_time_to_revoked_count\{[^}]*cause="swept"/m,
  ])
    await expect.poll(metrics).toMatch(line);
  await expect.poll(() => sandboxRemains(stack, jobId)).toEqual([]);
});
