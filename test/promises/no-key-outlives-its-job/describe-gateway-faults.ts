import { afterAll, beforeAll, expect, test } from 'vitest';

import type { ExternalGatewayName } from '../../../src/contract/gateway-name.ts';
import { useStack } from '../../helpers/stack.ts';
import { casesOf } from '../../proofs/gateways/cases.ts';
import { startGatewayRig } from '../../proofs/gateways/rigs.ts';
import { runGatewayTable } from '../../proofs/gateways/table.ts';
import type { CaseReport } from '../../proofs/keys/case.ts';

/** Registers the short table of faults of a gateway of a third party; the whole one is run by `npm run prove -- keys`. */
export async function describeGatewayFaults(name: ExternalGatewayName): Promise<void> {
  const rig = await startGatewayRig(name);
  const stack = useStack({ environment: { ...rig.environment, VALETKEY_SWEEP_GRACE: '1s' } });
  const cases = casesOf(rig, { isShort: true });
  let reports: CaseReport[];
  beforeAll(async () => {
    reports = await runGatewayTable(stack(), rig, cases);
  });
  afterAll(() => rig.close());

  test.each(cases)('$name: the job says how it ended, and no key of it is left', (one) => {
    const report = reports.find((other) => other.name === one.name);
    expect(report).toMatchObject({ orphans: 0, doubles: 0, sweptLive: 0, complaints: [] });
  });
}
