// Spend is settled once, to the gateway's own figure: what a settlement says is what the provider says it charged, per job and
// per tenant, however the job ended, however many ran at once, and however often the settlement was tried.
// Here the provider keeps its own books (the scripted model, with a price list of its own).
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { settleJob } from '../../../src/billing/settle-job.ts';
import { sumUsd } from '../../../src/contract/money.ts';
import { parseKeyRef } from '../../../src/contract/ref.ts';
import type { Usage } from '../../../src/contract/result.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { openDatabase, type Database } from '../../../src/store/database.ts';
import { expectEnded } from '../../helpers/ended.ts';
import { inMidTurn } from '../../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

const stack = useStack();
let database: Database;
beforeAll(() => {
  database = openDatabase(String(stack().config.databaseUrl));
});
afterAll(() => database.close());

const agents = ['codex', 'claude'] as const;
const twoTurns = [withScript('Begin.', [{ run: 'echo 1' }, { say: 'One.' }]), withScript('Go on.', [{ run: 'echo 2' }, { say: 'Two.' }])];

describe.each(agents)('the settlement of a job of %s', (agent) => {
  test('with two turns is what the provider charged for them', async () => {
    const { client } = stack();
    const served = requestsFromNow();
    const { jobId } = await client.jobs.submit(jobSpec({ agent, prompts: twoTurns }));
    const { usage } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    const charged = served();
    expect(charged.requests).toBeGreaterThanOrEqual(4);
    expect(usage).toEqual(charged);
    expect(await settlements(jobId)).toEqual([charged]);
  });

  test('that was cancelled in mid-turn is at least what the provider had stated by then, and stays', async () => {
    const { client } = stack();
    const served = requestsFromNow();
    const jobId = await inMidTurn(stack(), 60, { agent });
    await client.jobs.cancel(jobId);
    const { usage } = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    await expect.poll(() => stack().model?.inFlight()).toBe(0);
    expect(usage.usd).toBeGreaterThan(0);
    expect(usage.usd).toBeGreaterThanOrEqual(served().usd);
    expect(await settlements(jobId)).toEqual([usage]);
    expect(await recorded(jobId)).toBe(usage.usd);
  });
});

test('a settlement that is tried again, also at once, is one with the same figures', async () => {
  const { client } = stack();
  const served = requestsFromNow();
  const { jobId } = await client.jobs.submit(jobSpec({ prompts: twoTurns }));
  const { usage, keys, turns, endedAt: _, ...job } = await client.jobs.result(jobId);
  const settler = { leaseId: parseKeyRef(keys[0]?.ref ?? 'a/b/1').leaseId, runId: 'again' };
  const again = await Promise.all([1, 2, 3].map(() => settleJob(database.db, { ...job, turns: turns.length }, settler)));
  for (const settled of again) expect(settled).toMatchObject({ turns: 2, usage });
  expect(await client.jobs.result(jobId)).toMatchObject({ ...job, turns, usage, keys });
  expect(await settlements(jobId)).toEqual([served()]);
  const types: string[] = [];
  for await (const { type } of client.jobs.events(jobId)) types.push(type);
  expect(types.filter((type) => type === 'usage' || type === 'job.ended')).toEqual(['usage', 'job.ended']);
});

test('a settlement that fails in the workflow’s own task waits as a step, and is one', async () => {
  const served = requestsFromNow();
  const table = database.db.schema;
  const { jobId } = await stack().client.jobs.submit(jobSpec({ prompts: twoTurns }));
  await table.alterTable('settlements').renameTo('settlements_away').execute();
  try {
    await expect.poll(() => waitingSteps(jobId)).toEqual(['settleUsage']);
  } finally {
    await table.alterTable('settlements_away').renameTo('settlements').execute();
  }
  const { usage } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(await settlements(jobId)).toEqual([usage]);
  expect(usage).toEqual(served());
});

test('jobs of several tenants at once are settled to what the provider charged, each tenant for its own', async () => {
  const { client } = stack();
  const served = requestsFromNow();
  const wanted = ['one-of-two', 'two-of-two'].flatMap((tenant) => agents.map((agent) => jobSpec({ tenant, agent, prompts: twoTurns })));
  const submitted = await Promise.all(wanted.map(async (spec) => client.jobs.submit(spec)));
  const results = await Promise.all(submitted.map(async ({ jobId }) => expectEnded(stack(), jobId, { outcome: 'completed', code: null })));
  const rows = await database.db
    .selectFrom('settlements')
    .select(({ fn }) => ['tenant', fn.sum<string>('usd').as('usd')])
    .where('tenant', 'in', ['one-of-two', 'two-of-two'])
    .groupBy('tenant')
    .orderBy('tenant')
    .execute();
  const usdOf = (tenant: string): number => sumUsd(results.filter((result) => result.tenant === tenant).map(({ usage }) => usage.usd));
  expect(rows.map(({ tenant, usd }) => [tenant, Number(usd)])).toEqual([
    ['one-of-two', usdOf('one-of-two')],
    ['two-of-two', usdOf('two-of-two')],
  ]);
  expect(sumUsd(results.map(({ usage }) => usage.usd))).toBe(served().usd);
  for (const { jobId, usage } of results) expect(await recorded(jobId)).toBe(usage.usd);
});

/** Gives what the provider says it charged since the call. */
function requestsFromNow(): () => Usage {
  const { served = [] } = stack().model ?? {};
  const before = served.length;
  return () => {
    const charged = served.slice(before).flatMap(({ usage, usd }) => (usage === null || usd === null ? [] : [{ ...usage, usd }]));
    return {
      inputTokens: charged.reduce((sum, { input }) => sum + input, 0),
      outputTokens: charged.reduce((sum, { output }) => sum + output, 0),
      requests: charged.length,
      usd: sumUsd(charged.map(({ usd }) => usd)),
    };
  };
}

/** The steps of a job that failed and are tried again. */
async function waitingSteps(jobId: string): Promise<unknown[]> {
  const { address, namespace } = stack().temporal;
  const connection = await Connection.connect({ address });
  const { raw } = await new Client({ connection, namespace }).workflow.getHandle(jobId).describe();
  await connection.close();
  return (raw.pendingActivities ?? []).filter(({ lastFailure }) => lastFailure != null).map(({ activityType }) => activityType?.name);
}

/** The stored settlements of a job. */
async function settlements(jobId: string): Promise<Usage[]> {
  const rows = await database.db.selectFrom('settlements').selectAll().where('job_id', '=', jobId).execute();
  return rows.map((row) => ({
    inputTokens: Number(row.input_tokens),
    outputTokens: Number(row.output_tokens),
    requests: Number(row.requests),
    usd: Number(row.usd),
  }));
}

/** The sum of what each request of a job was charged, USD. */
async function recorded(jobId: string): Promise<number> {
  const rows = await database.db
    .selectFrom('requests')
    .innerJoin('keys', 'keys.ref', 'requests.ref')
    .select('requests.usd')
    .where('keys.job_id', '=', jobId)
    .execute();
  return sumUsd(rows.map(({ usd }) => Number(usd)));
}
