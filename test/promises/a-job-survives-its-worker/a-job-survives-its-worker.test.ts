// A job survives its worker: the next worker re-attaches to the running session; no prompt is run twice, no event is lost.
// Here workers are processes that are killed or drained while the agent speaks. The words of the answer are all different, the
// provider says how often it was asked, and the order of the stored events has no gap: what is lost or doubled shows.
import { Client, Connection } from '@temporalio/client';
import { describe, test, type TestContext } from 'vitest';

import type { Stack } from '../../../src/dev/stack.ts';
import { expectEnded } from '../../helpers/ended.ts';
import { processStack, type ProcessStack } from '../../helpers/process-stack.ts';
import { inMidTurn, slowly, words } from '../../helpers/slow-turn.ts';

/** The others give a killed worker up after twelve seconds. */

describe.concurrent('a worker is lost in mid-turn', () => {
  test('killed: the next one goes on with the turn, and then with the session', async (context) => {
    const { expect } = context;
    const stack = await processStack(context);
    const jobId = await inMidTurn(stack, 25, { prompts: [slowly(25), slowly(1)] });
    await stack.worker.kill('SIGKILL');
    await stack.worker.start();
    await expectWhole(context, stack, jobId, [25, 1]);
    const [first = 0, second = 0] = stack.model?.served.flatMap(({ usage }) => usage?.input ?? []) ?? [];
    expect(second, 'input tokens of the second turn, which tell the first one again').toBeGreaterThan(first);
    expect(await attempts(stack, jobId)).toEqual([
      { attempt: 2, after: 'failure' },
      { attempt: 1, after: null },
    ]);
  });

  test('killed, and the turn ends while nobody is there: the next one finds its end', async (context) => {
    const { expect } = context;
    const stack = await processStack(context);
    const jobId = await inMidTurn(stack, 5);
    await stack.worker.kill('SIGKILL');
    await expect.poll(() => stack.model?.inFlight()).toBe(0);
    await stack.worker.start();
    await expectWhole(context, stack, jobId, [5]);
  });

  test('drained by SIGTERM: it hands the turn over at once', async (context) => {
    const { expect } = context;
    const stack = await processStack(context);
    const jobId = await inMidTurn(stack, 12);
    await stack.worker.kill('SIGTERM');
    expect(await stack.client.jobs.status(jobId)).toMatchObject({ state: 'running' });
    await stack.worker.start();
    await expectWhole(context, stack, jobId, [12]);
    expect(await attempts(stack, jobId)).toEqual([{ attempt: 2, after: 'failure' }]);
  });

  test('for good, and the job is cancelled: another one ends the sandbox that it left', async (context) => {
    const stack = await processStack(context);
    const jobId = await inMidTurn(stack, 60);
    await stack.worker.kill('SIGKILL');
    await stack.client.jobs.cancel(jobId);
    await stack.worker.start();
    await expectEnded(stack, jobId, { outcome: 'cancelled', code: 'cancelled' });
  });
});

/** The job completed: each turn was asked once, and every word of its answer is there once, in the result and in the events. */
async function expectWhole({ expect }: TestContext, stack: ProcessStack, jobId: string, seconds: number[]): Promise<void> {
  const said = seconds.map(words);
  const { turns } = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
  expect(turns.map(({ message }) => message)).toEqual(said);
  expect(stack.model?.served.filter(({ usd }) => usd !== null && usd > 0)).toHaveLength(said.length);
  const seen = said.map(() => '');
  const seqs: number[] = [];
  const types: string[] = [];
  for await (const event of stack.client.jobs.events(jobId, { follow: false })) {
    seqs.push(event.seq);
    types.push(event.type);
    if (event.type === 'message') seen[event.turn - 1] += event.text;
  }
  expect(seen).toEqual(said);
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  for (const type of ['turn.started', 'turn.ended']) expect(types.filter((other) => other === type)).toHaveLength(said.length);
}

/** Of each turn: the attempt that ended it, and what had ended the attempt before. */
async function attempts({ temporal: { address, namespace } }: Stack, jobId: string) {
  const connection = await Connection.connect({ address });
  const { events = [] } = await new Client({ connection, namespace }).workflow.getHandle(jobId).fetchHistory();
  await connection.close();
  const turns = (events ?? []).filter((event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'runSession');
  return turns.map(({ eventId }) => {
    const started = (events ?? [])
      .map((event) => event.activityTaskStartedEventAttributes)
      .find((of) => of?.scheduledEventId?.eq(eventId ?? 0));
    const failure = started?.lastFailure;
    return { attempt: started?.attempt, after: failure == null ? null : failure.timeoutFailureInfo == null ? 'failure' : 'time-out' };
  });
}
