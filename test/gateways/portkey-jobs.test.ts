// Jobs whose keys Portkey mints: a fake of its control plane and its data plane that forwards to a scripted model, and our proxy in front.
import { afterAll, expect, test } from 'vitest';

import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { COST_USD } from '../fakes/portkey/ledger.ts';
import { expectEnded } from '../helpers/ended.ts';
import { describeJobs } from './describe-jobs.ts';
import { startPortkeyJobs } from './rigs/portkey.ts';

const model = await startScriptedModel();
const rig = await startPortkeyJobs(model);
afterAll(async () => {
  await rig.close();
  await model.close();
});
const { stack, spec } = await describeJobs(rig);

test('a job is settled to Portkey’s own figure, not to what the proxy has metered', async () => {
  const { jobId } = await stack().client.jobs.submit(spec());
  const { usage } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(usage).toMatchObject({ requests: 1, usd: COST_USD });
});

test('a job whose budget is below a dollar is refused with what to do', async () => {
  const { jobId } = await stack().client.jobs.submit(spec({ budgetUsd: 0.5 }));
  const { failure } = await stack().client.jobs.result(jobId);
  expect(failure).toMatchObject({ code: 'gateway_refused' });
  expect(failure?.message).toContain('budgetUsd');
  expect(await rig.keysOf(jobId)).toEqual([]);
});
