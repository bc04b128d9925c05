import { expect, test } from 'vitest';

import { decideRequestRetry, type RequestFailure } from '../../../src/sandboxes/remote/decide-request-retry.ts';
import type { VendorState } from '../../../src/sandboxes/remote/vendor.ts';

const CASES: [RequestFailure, VendorState | null, number, string][] = [
  ['edge', 'running', 0, 'retry'],
  ['edge', 'running', 1_499, 'retry'],
  ['edge', 'running', 1_500, 'sandbox_lost'],
  ['edge', 'starting', 1_499, 'retry'],
  ['token', 'running', 1_499, 'retry'],
  ['token', 'running', 1_500, 'sandbox_lost'],
  ['network', 'running', 1_500, 'retry'],
  ['network', 'running', 19_999, 'retry'],
  ['network', 'running', 20_000, 'sandbox_provider_unreachable'],
  ['edge', null, 19_999, 'retry'],
  ['edge', null, 20_000, 'sandbox_provider_unreachable'],
  ['network', null, 20_000, 'sandbox_provider_unreachable'],
  ['network', 'ended', 0, 'sandbox_lost'],
  ['edge', 'ended', 0, 'sandbox_lost'],
  ['network', 'suspended', 0, 'sandbox_lost'],
];

test.each(CASES)(
  'a request that failed by %s while the sandbox is %s, %i ms after the first failure: %s',
  (failure, state, elapsedMs, wanted) => {
    const decision = decideRequestRetry(failure, state, elapsedMs);
    expect(decision.action === 'retry' ? 'retry' : decision.code).toBe(wanted);
  },
);
