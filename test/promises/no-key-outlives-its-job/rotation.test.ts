// No key outlives its job: also not one whose place a newer key took; and while the keys change the job goes on as if none did.
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, test } from 'vitest';

import type { JobEvent } from '../../../src/contract/events.ts';
import type { KeyRef } from '../../../src/contract/ref.ts';
import { ROTATE_UPDATE, type Rotated } from '../../../src/contract/requests.ts';
import type { AgentName } from '../../../src/contract/spec.ts';
import { expectEnded, secretOf, statusWith } from '../../helpers/ended.ts';
import { inMidTurn, slowly, words } from '../../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

const stack = useStack();
let temporal: Client;
beforeAll(async () => {
  const { address, namespace } = stack().temporal;
  temporal = new Client({ connection: await Connection.connect({ address }), namespace });
});
afterAll(() => temporal.connection.close());

async function rotate(jobId: string): Promise<Rotated> {
  return temporal.workflow.getHandle(jobId).executeUpdate<Rotated, []>(ROTATE_UPDATE);
}

async function eventsOf(jobId: string): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of stack().client.jobs.events(jobId, { follow: false })) events.push(event);
  return events;
}

const stateOf = async (ref: KeyRef): Promise<number> => statusWith(stack(), secretOf(stack(), ref));

describe.concurrent.each(['mock', 'codex', 'claude'] as const)('the key of a job of %s', (agent: AgentName) => {
  test('is changed in mid-turn: the turn goes on, the next one uses the new key, and the old one dies', async ({ expect }) => {
    const { client } = stack();
    const jobId = await inMidTurn(stack(), 4, {
      agent,
      ...(agent === 'claude' ? { model: 'claude-sonnet-4-6' } : {}),
      prompts: [slowly(4), slowly(1)],
    });
    const [first] = (await client.jobs.status(jobId)).keys;
    const { ref, generation } = await rotate(jobId);
    expect(generation).toBe(2);
    if (first === undefined) throw new Error('a job that runs has no key');
    expect(await stateOf(ref)).toBe(200);
    await expect.poll(() => stateOf(first.ref)).toBe(401);
    const { turns, keys, usage } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(turns.map(({ message }) => message.trim())).toEqual([words(4), words(1)]);
    expect(keys.map((key) => [key.ref, key.firstUsedAt !== null])).toEqual([
      [first.ref, true],
      [ref, true],
    ]);
    expect(usage.requests).toBeGreaterThanOrEqual(2);
    const ends = (await eventsOf(jobId)).filter((event) => event.type === 'key.revoked').map((event) => event.ref);
    expect(ends).toEqual([first.ref, ref]);
  });
});

test.concurrent('between turns the old key dies at once, and the next turn has the new one', async ({ expect }) => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say one'], keepOpen: '20s' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  const [first] = (await client.jobs.status(jobId)).keys;
  const { ref } = await rotate(jobId);
  await expect.poll(() => stateOf(first?.ref ?? ref)).toBe(401);
  expect(await stateOf(ref)).toBe(200);
  await client.jobs.prompt(jobId, 'say hello');
  await expect.poll(async () => (await client.jobs.status(jobId)).keys.at(-1)?.firstUsedAt).not.toBeNull();
  await client.jobs.cancel(jobId);
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
});

test.concurrent('a rotation brings no new budget', async ({ expect }) => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['say hello'], keepOpen: '20s', budgetUsd: 1e-5 }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  await rotate(jobId);
  await client.jobs.prompt(jobId, 'say hello again');
  await expectEnded(stack(), jobId, { outcome: 'failed', code: 'budget_exhausted' });
});

test.concurrent('a job that is cancelled while its key is being changed leaves none of the two', async ({ expect }) => {
  const { client } = stack();
  const jobId = await inMidTurn(stack(), 60, { agent: 'mock' });
  const rotated = rotate(jobId);
  await client.jobs.cancel(jobId);
  await rotated.catch(() => undefined);
  const { keys } = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
  for (const { ref } of keys) expect(await stateOf(ref)).toBe(401);
});
