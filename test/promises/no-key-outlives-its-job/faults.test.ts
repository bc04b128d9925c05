// No key outlives its job, whatever goes wrong with a call of its gateway. The gateway is a fake of a third party's which knows every
// key that it ever minted and every use of one; each case is a job of its own, with an agent in a sandbox, and the sweep looks for
// orphans all the time. The whole table is run by `npm run prove -- keys`; here a third of it.
import { afterAll, beforeAll, expect, test } from 'vitest';

import { startFakeGateway } from '../../fakes/gateway/server.ts';
import { useStack } from '../../helpers/stack.ts';
import type { CaseReport } from '../../proofs/keys/case.ts';
import { CASES } from './fault-cases.ts';
import { runFaultTable } from './fault-table.ts';

const fake = await startFakeGateway();
const stack = useStack({ adapt: fake.adapt, environment: { VALETKEY_SWEEP_GRACE: '1s', VALETKEY_KEY_LEASE: '1m' } });
let reports: CaseReport[];
beforeAll(async () => {
  await fake.attach(stack());
  reports = await runFaultTable({ stack: { ...stack(), fake }, whole: false });
});
afterAll(() => fake.close());

test.each(CASES.filter(({ isShort }) => isShort))('$name: the job says how it ended, and no key of it is left', ({ name }) => {
  const report = reports.find((one) => one.name === name);
  expect(report).toMatchObject({ orphans: 0, doubles: 0, sweptLive: 0, complaints: [] });
});
