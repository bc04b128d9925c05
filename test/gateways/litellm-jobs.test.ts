// Jobs whose keys a real LiteLLM mints: our proxy is in front of it, as in front of a provider, and the sandbox holds the job's own key.
import { afterAll, expect, test } from 'vitest';
import { z } from 'zod';

import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { jobSpec } from '../helpers/stack.ts';
import { describeJobs } from './describe-jobs.ts';
import { startLiteLlmJobs } from './rigs/litellm.ts';

const model = await startScriptedModel();
const rig = await startLiteLlmJobs(model);
afterAll(async () => {
  await rig.close();
  await model.close();
});
const { stack, open, keyOf } = await describeJobs(rig);

const infoSchema = z.object({ info: z.object({ team_id: z.string() }) });

test('the key of a job is one of its tenant’s team', async () => {
  const jobId = await open();
  const { id } = await keyOf(jobId);
  expect(infoSchema.parse(await rig.ask(`/key/info?key=${id}`)).info.team_id).toMatch(/\/acme$/);
  await stack().client.jobs.cancel(jobId);
});

test('a gateway that no worker has is refused when the job is submitted', async () => {
  const credential = { strategy: 'gateway', gateway: 'portkey' } as const;
  await expect(stack().client.jobs.submit(jobSpec({ credential }))).rejects.toMatchObject({ code: 'gateway_not_configured' });
});
