// No key outlives its job: an agent that takes up a key with a new process only keeps the older one to the end of its turn, and no
// longer.
import { expect, test } from 'vitest';

import { mock } from '../../../src/agents/mock.ts';
import { expectEnded, secretOf, statusWith } from '../../helpers/ended.ts';
import { inMidTurn, slowly } from '../../helpers/slow-turn.ts';
import { useStack } from '../../helpers/stack.ts';

const slowAgent = { ...mock, abilities: { ...mock.abilities, supportsKeyRotation: false } };
const stack = useStack({ adapt: (adapters) => ({ ...adapters, agents: { ...adapters.agents, mock: slowAgent } }) });

test('the older key dies between the two turns, and the second uses the newer', async () => {
  const { client } = stack();
  const jobId = await inMidTurn(stack(), 4, { agent: 'mock', prompts: [slowly(4), slowly(3)] });
  const { ref } = await client.keys.rotate(jobId);
  const [older] = (await client.jobs.status(jobId)).keys;
  if (older === undefined) throw new Error('a job that runs has no key');
  for await (const event of client.jobs.events(jobId)) if (event.type === 'turn.ended') break;
  await expect.poll(() => statusWith(stack(), secretOf(stack(), older.ref))).toBe(401);
  const { keys } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  const seen: string[] = [];
  for await (const { type, ...event } of client.jobs.events(jobId, { follow: false })) {
    if (type === 'key.revoked' && 'ref' in event) seen.push(`${event.ref === ref ? 'newer' : 'older'} dead`);
    if (type === 'turn.ended' && 'turn' in event) seen.push(`turn ${event.turn} ended`);
  }
  expect(seen).toEqual(['turn 1 ended', 'older dead', 'turn 2 ended', 'newer dead']);
  expect(keys.map(({ firstUsedAt }) => firstUsedAt !== null)).toEqual([true, true]);
});
