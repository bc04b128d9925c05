import { expect, test } from 'vitest';

import { decideLoginUse, decideRenewal } from '../../src/proxy/subscriptions/decide-refresh.ts';

const NOW = 1_800_000_000_000;

test.each([
  ['without an expiry', null, true, { action: 'send' }],
  ['two minutes and a moment before its expiry', 120_001, true, { action: 'send' }],
  ['two minutes before', 120_000, true, { action: 'send-and-refresh' }],
  ['ten seconds and a moment before', 10_001, true, { action: 'send-and-refresh' }],
  ['ten seconds before', 10_000, true, { action: 'wait' }],
  ['long after', -1e9, true, { action: 'wait' }],
  ['without a refresh token and without an expiry', null, false, { action: 'send' }],
  ['without a refresh token, a moment before', 1, false, { action: 'send' }],
  ['without a refresh token, at its expiry', 0, false, { action: 'end', reason: 'expired' }],
])('a login %s', (_what, leftMs, hasRefreshToken, use) => {
  expect(decideLoginUse({ expiresAtMs: leftMs === null ? null : NOW + leftMs, hasRefreshToken }, NOW)).toEqual(use);
});

test.each([
  ['that was stored by its user is refreshed', { hasRefreshToken: true, isRefreshed: false, storedAtMs: NOW }, { action: 'refresh' }],
  [
    'that was refreshed a minute ago is refreshed',
    { hasRefreshToken: true, isRefreshed: true, storedAtMs: NOW - 60_000 },
    { action: 'refresh' },
  ],
  [
    'that was just refreshed is given up',
    { hasRefreshToken: true, isRefreshed: true, storedAtMs: NOW - 59_999 },
    { action: 'give-up', reason: 'just-refreshed' },
  ],
  [
    'without a refresh token is given up',
    { hasRefreshToken: false, isRefreshed: false, storedAtMs: 0 },
    { action: 'give-up', reason: 'no-refresh-token' },
  ],
])('a refused login %s', (_what, login, renewal) => {
  expect(decideRenewal(login, NOW)).toEqual(renewal);
});
