import { describe, expect, test } from 'vitest';

import { decideLimits, DEFAULT_LIMITS, parseLimits, type LimitSettings, type SandboxLimitsSpec } from '../../src/contract/limits-spec.ts';
import { parseJobSpec } from '../../src/contract/spec.ts';

const HOST_MIB = 65_536;
const none: LimitSettings = { defaults: {}, maxima: {} };

describe('the limits of a sandbox', () => {
  test.each<[string, SandboxLimitsSpec, LimitSettings, number, object]>([
    ['are ours where nobody names any', {}, none, HOST_MIB, DEFAULT_LIMITS],
    ['leave a quarter of a small host’s memory', {}, none, 4_096, { ...DEFAULT_LIMITS, memoryMiB: 3_072 }],
    [
      'are the installation’s where the job names none',
      {},
      { defaults: { cpus: 2, diskMiB: 100 }, maxima: {} },
      HOST_MIB,
      { ...DEFAULT_LIMITS, cpus: 2, diskMiB: 100 },
    ],
    [
      'are the job’s before all',
      { memoryMiB: 300 },
      { defaults: { memoryMiB: 900 }, maxima: {} },
      HOST_MIB,
      { ...DEFAULT_LIMITS, memoryMiB: 300 },
    ],
    [
      'are never more than the most by default',
      {},
      { defaults: { processes: 900 }, maxima: { processes: 500, cpus: 4 } },
      HOST_MIB,
      { ...DEFAULT_LIMITS, processes: 500, cpus: 4 },
    ],
    ['may be the most', { cpus: 4 }, { defaults: {}, maxima: { cpus: 4 } }, HOST_MIB, { ...DEFAULT_LIMITS, cpus: 4 }],
  ])('%s', (_, asked, settings, hostMiB, expected) => {
    expect(decideLimits(asked, settings, hostMiB)).toEqual(expected);
  });

  test('that are more than the installation allows are refused, each by its name', () => {
    const settings = { defaults: {}, maxima: { cpus: 4, diskMiB: 1_000 } };
    const refused = (): object => decideLimits({ cpus: 4.1, diskMiB: 1_001, memoryMiB: 9_999 }, settings, HOST_MIB);
    expect(refused).toThrow('sandbox.limits.cpus: must be at most 4 in this installation; sandbox.limits.diskMiB: must be at most 1000');
    expect(refused).toThrow(expect.objectContaining({ code: 'invalid_spec' }));
  });
});

test.each([
  ['cpus=2,memoryMiB=4096', { cpus: 2, memoryMiB: 4_096 }],
  [' diskMiB = 100 ', { diskMiB: 100 }],
])('operators write limits as %j', (text, limits) => {
  expect(parseLimits(text)).toEqual(limits);
});

test.each(['cpus', 'cpus=', 'cpus=2;memoryMiB=4096', 'memory=4096', 'memoryMiB=1', 'memoryMiB=300.5', 'cpus=2,,'])(
  '%j is refused as limits',
  (text) => {
    expect(() => parseLimits(text)).toThrow(/is not a name|Invalid|Unrecognized|Too small|expected/);
  },
);

test.each([{ memory: 1 }, { memoryMiB: '1Gi' }, { processes: 0 }, { diskMiB: 1.5 }, { cpus: 0 }, { cpus: Number.NaN }])(
  'a job with the limits %j is refused',
  (limits) => {
    const spec = { tenant: 'acme', agent: 'mock', model: 'gpt-5.1', prompts: ['x'], budgetUsd: 1, sandbox: { limits } };
    expect(() => parseJobSpec(spec, Date.now())).toThrow('sandbox.limits');
  },
);
