// No key outlives its job: whatever happens to the job in Temporal, in whatever step it is.
// The short form of what `npm run prove -- keys` does; the built-in gateway's own log and requests with the keys tell.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { useStack } from '../../helpers/stack.ts';
import { audited, type Audited } from '../../proofs/keys/audit.ts';
import type { CaseReport } from '../../proofs/keys/case.ts';
import { control, resetEnded } from '../../proofs/keys/control.ts';
import { Gates } from '../../proofs/keys/gates.ts';
import { STEPS } from '../../proofs/keys/steps.ts';

const gates = new Gates();
const stack = useStack({
  adapt: gates.adapt,
  environment: { VALETKEY_SWEEP_INTERVAL: '2s', VALETKEY_INVENTORY_INTERVAL: '6s', VALETKEY_SWEEP_GRACE: '2s' },
});
let audit: Audited;
beforeAll(async () => {
  audit = await audited(stack());
});
afterAll(() => audit.close());

const CLEAN = { orphans: 0, doubles: 0, sweptLive: 0, complaints: [] } satisfies Partial<CaseReport>;

// A cancel and a deadline in each step are in test/trouble.
describe.concurrent.each(['terminate', 'reset'] as const)('%s', (event) => {
  test.each(STEPS)('in the step %s leaves no key', async (step) => {
    expect(await control(audit, gates, event, step)).toMatchObject(CLEAN);
  });
});

test('a reset of an ended job to any point leaves no key', async () => {
  for (const report of await resetEnded(audit)) expect(report).toMatchObject(CLEAN);
});
