// Jobs whose keys OpenRouter mints: a fake of it that forwards to a scripted model, and our proxy in front of it.
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, expect, test } from 'vitest';

import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { COST } from '../fakes/openrouter/ledger.ts';
import { expectEnded } from '../helpers/ended.ts';
import { describeJobs } from './describe-jobs.ts';
import { startOpenRouterJobs } from './rigs/openrouter.ts';

const model = await startScriptedModel();
const rig = await startOpenRouterJobs(model);
const { fake } = rig;
afterAll(async () => {
  await rig.close();
  await model.close();
});
const { stack, spec, open, keyOf } = await describeJobs(rig);

test('a request is charged what OpenRouter states that it cost', async () => {
  const { jobId } = await stack().client.jobs.submit(spec());
  const { usage } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(usage).toMatchObject({ requests: 1, usd: COST.usd });
});

test.for(['codex', 'claude', 'qwen'] as const)(
  'a job of %s on an account without credit fails for that, not for its budget',
  async (agent) => {
    const jobId = await open({ agent });
    fake.accountRefusal = 'no_credit';
    await stack().client.jobs.prompt(jobId, 'say hello');
    const { failure } = await stack().client.jobs.result(jobId);
    fake.accountRefusal = null;
    expect(failure).toMatchObject({ code: 'llm_payment_required' });
  },
);

test('a request that is refused for other requests in flight is retried, and the job completes', async () => {
  const jobId = await open({ keepOpen: '10s' });
  fake.accountRefusal = 'in_flight_budget';
  await stack().client.jobs.prompt(jobId, 'say hello');
  await sleep(1_500);
  fake.accountRefusal = null;
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(fake.ledger.uses.filter(({ name, status }) => status === 402 && name?.includes(jobId) === true).length).toBeGreaterThan(0);
});

test('a key whose limit OpenRouter refuses with status 403 has spent its budget, too', async () => {
  fake.statuses.keyLimit = 403;
  const jobId = await open();
  await rig.spendBudget((await keyOf(jobId)).id);
  await stack().client.jobs.prompt(jobId, 'say hello');
  const { failure } = await stack().client.jobs.result(jobId);
  fake.statuses.keyLimit = 402;
  expect(failure).toMatchObject({ code: 'budget_exhausted' });
});
