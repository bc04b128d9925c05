import { join } from 'node:path';

import { describe, test } from 'vitest';

import { startPostgres } from '../../src/dev/postgres.ts';
import { startTemporal } from '../../src/dev/temporal.ts';
import { expectEnded } from '../helpers/ended.ts';
import { overTcp } from '../helpers/over-tcp.ts';
import { processStack } from '../helpers/process-stack.ts';
import { killSandboxes } from '../helpers/sandbox-remains.ts';
import { inMidTurn } from '../helpers/slow-turn.ts';
import { jobSpec } from '../helpers/stack.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const report = (): void => undefined;

/** They run at once, each with processes of its own. */
describe.concurrent('a part is lost', () => {
  test('the sandbox in mid-turn: the job fails by that', async (context) => {
    const { expect } = context;
    const stack = await processStack(context);
    const jobId = await inMidTurn(stack, 60);
    const startedMs = Date.now();
    await killSandboxes(stack);
    await expectEnded(stack, jobId, { outcome: 'failed', code: 'sandbox_lost' });
    expect(Date.now() - startedMs).toBeLessThan(15_000);
  });

  test('the gateway before the mint, and does not come back: the job fails by that, and a key never lived', async (context) => {
    const { expect } = context;
    const stack = await processStack(context, { gateway: 'later' });
    const { jobId } = await stack.client.jobs.submit(jobSpec());
    const { failure, keys } = await stack.client.jobs.result(jobId);
    expect(failure?.code).toBe('gateway_unreachable');
    expect(keys.map(({ mintedAt }) => mintedAt)).toEqual([null]);
    await stack.gateway.start();
    await expectEnded(stack, jobId, { outcome: 'failed', code: 'gateway_unreachable' });
  });

  test('the gateway before the mint, and comes back: the job completes', async (context) => {
    const stack = await processStack(context, { gateway: 'later' });
    const { jobId } = await stack.client.jobs.submit(jobSpec());
    for await (const { type } of stack.client.jobs.events(jobId)) if (type === 'sandbox.started') break;
    await stack.gateway.start();
    await expectEnded(stack, jobId, { outcome: 'completed', code: null });
  });

  test('the gateway in mid-turn: the job fails by a code, and its key is dead when the gateway is back', async (context) => {
    const { expect } = context;
    const stack = await processStack(context);
    const jobId = await inMidTurn(stack, 60);
    await stack.gateway.kill('SIGKILL');
    await stack.gateway.start();
    const { outcome, failure } = await stack.client.jobs.result(jobId);
    // Whether the agent or the gateway's record tells it first.
    expect(['agent_failed', 'gateway_unreachable', 'llm_failed']).toContain(failure?.code);
    await expectEnded(stack, jobId, { outcome, code: failure?.code ?? null });
  });

  test('Postgres in mid-turn, for a while: the job ends by a code with nothing left', async (context) => {
    const { expect } = context;
    const postgres = await startPostgres();
    context.onTestFinished(() => postgres.stop());
    const stack = await processStack(context, { databaseUrl: overTcp(await postgres.createDatabase('valetkey')) });
    const jobId = await inMidTurn(stack, 20);
    await postgres.halt();
    await expect(stack.client.jobs.status(jobId)).rejects.toMatchObject({ code: 'database_unreachable' });
    await postgres.resume();
    const { outcome, failure } = await stack.client.jobs.result(jobId);
    await expectEnded(stack, jobId, { outcome, code: failure?.code ?? null });
    expect(failure?.code).not.toBe('internal');
  });

  test('the worker of a job that waits for a prompt: that is told, and the same prompt goes on with another', async (context) => {
    const { expect } = context;
    const stack = await processStack(context);
    const { jobId } = await stack.client.jobs.submit(jobSpec({ agent: 'mock', prompts: [], keepOpen: '60s' }));
    await expect.poll(async () => (await stack.client.jobs.status(jobId)).phase).toBe('waiting');
    await stack.worker.kill('SIGKILL');
    await expect(stack.client.jobs.prompt(jobId, '!say one', { id: 'first' })).rejects.toMatchObject({ code: 'no_worker' });
    await stack.worker.start();
    expect(await stack.client.jobs.prompt(jobId, '!say one', { id: 'first' })).toEqual({ turn: 1 });
    await stack.client.jobs.cancel(jobId);
    await expectEnded(stack, jobId, { outcome: 'cancelled', code: 'cancelled' });
  });

  test('Temporal in mid-turn, for a while: the turn goes on and the job completes', async (context) => {
    const { expect } = context;
    const folder = await temporaryFolder(context);
    const temporal = await startTemporal({ report, dbFilename: join(folder, 'temporal.db') });
    context.onTestFinished(() => temporal.stop());
    const stack = await processStack(context, { temporal });
    const jobId = await inMidTurn(stack, 10);
    await temporal.halt();
    await expect(stack.client.jobs.status(jobId)).rejects.toMatchObject({ code: 'temporal_unreachable' });
    await temporal.resume();
    await expectEnded(stack, jobId, { outcome: 'completed', code: null });
    expect(stack.model?.served.filter(({ usd }) => usd !== null && usd > 0)).toHaveLength(1);
  });
});
