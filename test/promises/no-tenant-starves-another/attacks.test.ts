// No tenant starves another: whatever one caller sends, the gateway serves the others, counts each dollar and shows nobody another's.
// The short form of `npm run prove -- proxy`: each quick line of the attack table, then requests by chance, on a gateway in a process
// of its own with a hostile provider behind it.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { newDatabase } from '../../helpers/database.ts';
import { fuzz } from '../../proofs/proxy/fuzz.ts';
import { startRig, type Rig } from '../../proofs/proxy/rig.ts';
import { CASES } from '../../proofs/proxy/table.ts';
import { seeded } from '../../proofs/random.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig(await newDatabase());
});
afterEach(async () => {
  await rig.stopOwn();
  await rig.ready();
});
afterAll(() => rig.close());

describe('the attack table', () => {
  test.each(CASES.filter(({ isSlow }) => isSlow !== true))('$name', async ({ run }) => {
    expect(await run(rig)).toBeNull();
  });
});

test('1,000 requests by chance end no gateway, get no 5xx of its own, and none without an active key reaches the provider', async () => {
  const fuzzed = await fuzz(rig, seeded(1), 1_000, () => {});
  expect(fuzzed.problems).toEqual([]);
  expect(rig.crashes).toEqual([]);
  expect(rig.provider.withoutKey).toEqual([]);
  expect([...rig.provider.problems]).toEqual([]);
});
