import { stripVTControlCharacters } from 'node:util';

import { afterEach, expect, test } from 'vitest';

import { keyLines } from '../../../src/cli/commands/keys.ts';
import type { KeyInfo } from '../../../src/contract/key-info.ts';

const terminal = { isTTY: process.stdout.isTTY, columns: process.stdout.columns };
afterEach(() => Object.assign(process.stdout, terminal));

const KEY: KeyInfo = {
  ref: 'job-42/lease/1',
  jobId: 'job-42',
  tenant: 'acme',
  generation: 1,
  gateway: 'builtin',
  strategy: 'gateway',
  delivery: 'brokered',
  state: 'revoked',
  cause: 'job',
  createdAt: new Date(0).toISOString(),
  mintedAt: null,
  expiresAt: new Date(0).toISOString(),
  endedAt: null,
  spentUsd: 0.31,
  estimatedUsd: 0,
  refusedRequests: 0,
  attempts: 6,
  lastError: 'gateway_refused',
  retryAt: null,
};
const words = (keys: readonly KeyInfo[], stuck = false): string[] => keyLines(keys, stuck, 100).join('\n').split(/\s+/);

test('the gateway has a column where a key is of another one than the built-in', () => {
  expect(words([KEY])).not.toContain('gateway');
  const shown = words([KEY, { ...KEY, gateway: 'litellm' }]);
  for (const word of ['gateway', 'builtin', 'litellm']) expect(shown).toContain(word);
});

test.each([60, 200])('on a terminal of %i columns no key runs over the edge', (columns) => {
  Object.assign(process.stdout, { isTTY: true, columns });
  const lines = keyLines([KEY, { ...KEY, gateway: 'openrouter' }], true, 100)
    .join('\n')
    .split('\n');
  expect(lines.map(stripVTControlCharacters).filter((line) => line.length > columns)).toEqual([]);
  expect(lines.length === 3).toBe(columns === 200);
});
