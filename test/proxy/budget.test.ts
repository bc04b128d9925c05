import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, expect, it } from 'vitest';

import { begin, CLAUDE, closed, generating, send, startRig, startUpstream, until, type Rig } from './rig.ts';

const closing: (() => Promise<void>)[] = [];
/** Requests that the provider holds until the test lets them go. */
let held: ServerResponse[] = [];
let most = 0;

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** Each request costs 0.3 USD: 100,000 tokens of input, however small it is. */
async function startDear(): Promise<Rig> {
  held = [];
  most = 0;
  const upstream = await startUpstream((req, res) => {
    req.resume();
    held.push(res);
    most = Math.max(most, held.length);
  });
  const rig = await startRig(upstream.url);
  closing.push(upstream.close, rig.close);
  return rig;
}

function letGo(): void {
  const usage = { input_tokens: 100_000, output_tokens: 0 };
  for (const res of held.splice(0)) res.end(JSON.stringify({ model: CLAUDE, usage }));
}

/** Its worst case is 0.45 USD and more, so two fit into a dollar: 30,000 tokens of output at 15 USD a million. */
const body = { ...generating('hello')['/v1/messages'], max_tokens: 30_000 };

it('a key that many use at once overshoots by one request at most', async () => {
  const rig = await startDear();
  const key = await rig.mint({ budgetUsd: 1 });
  const callers = Array.from({ length: 12 }, () => send(rig, key.secret, '/v1/messages', body));
  const all = Promise.all(callers);
  let over = false;
  void all.then(() => (over = true));
  await until(() => {
    letGo();
    return over;
  });
  const statuses = (await all).map(({ status }) => status).toSorted((a, b) => a - b);
  expect(statuses).toEqual([...Array.from({ length: 4 }, () => 200), ...Array.from({ length: 8 }, () => 402)]);
  const { usd, requests } = await rig.usage(key);
  expect({ usd, requests }).toEqual({ usd: 1.2, requests: 4 });
  expect(most, 'what ran at once fitted').toBeLessThanOrEqual(2);
});

it('who waits for its turn can leave, and was never sent to the provider', async () => {
  const rig = await startDear();
  const key = await rig.mint({ budgetUsd: 0.5 });
  const first = send(rig, key.secret, '/v1/messages', body);
  await until(() => held.length === 1);
  const waiting = begin(rig, key, '/v1/messages', body);
  // It has asked for a reservation by then, and waits.
  await sleep(300);
  waiting.destroy();
  await closed(waiting);
  letGo();
  expect((await first).status).toBe(200);
  expect(await rig.usage(key)).toMatchObject({ usd: 0.3, requests: 1 });
  await expect
    .poll(() => rig.ended(key))
    .toMatchObject([
      { status: 200, code: null },
      { status: 499, code: 'cancelled', usd: 0 },
    ]);
});
