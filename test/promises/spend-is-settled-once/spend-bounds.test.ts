// Spend is settled once, and no budget is exceeded by more than one request: what the provider bills is on record, whoever hangs up
// when, whatever the answer says of its usage, and however many callers share a budget.
// The short form of `npm run prove -- spend`: a provider that keeps its own ledger behind a gateway in a process of its own.
import { afterAll, beforeAll, expect, test } from 'vitest';

import { newDatabase } from '../../helpers/database.ts';
import { startRig, type Rig } from '../../proofs/proxy/rig.ts';
import { failuresOf, runRows } from '../../proofs/spend.ts';
import { isQuick, WAYS } from '../../proofs/spend/ways.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig(await newDatabase());
});
afterAll(() => rig.close());

test('eight callers of one job, in each way, get nothing that is not on record and exceed the budget by one request at most', async () => {
  const ways = WAYS.filter(isQuick);
  const rows = await runRows(rig, ways, 1, true);
  expect(rows.map(({ way }) => way)).toEqual(ways.map(({ name }) => name));
  expect(rows.map((row) => [row.way, ...failuresOf(row)])).toEqual(ways.map(({ name }) => [name]));
});
