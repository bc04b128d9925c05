import { expect, test } from 'vitest';

import { loadConfig } from '../../src/config/config.ts';
import { environmentSchema } from '../../src/config/environment.ts';

const DURATIONS = Object.keys(environmentSchema.shape).filter((name) => /_(TIMEOUT|INTERVAL|LEASE|GRACE|AFTER|RETENTION)$/.test(name));

test.each(DURATIONS)('%s is a duration, and a number without a unit is refused', (name) => {
  expect(() => loadConfig({ [name]: '90m' })).not.toThrow();
  expect(() => loadConfig({ [name]: '90' })).toThrow(`${name}: must be a duration such as "30s"`);
});

test('durations of the environment are milliseconds in the configuration', () => {
  const { keyLeaseMs, rotateAfterMs, eventRetentionMs, gateway } = loadConfig({
    VALETKEY_KEY_LEASE: '90s',
    VALETKEY_EVENT_RETENTION: '2d',
  });
  expect({ keyLeaseMs, rotateAfterMs, eventRetentionMs, idleTimeoutMs: gateway.idleTimeoutMs }).toEqual({
    keyLeaseMs: 90_000,
    rotateAfterMs: 86_400_000,
    eventRetentionMs: 172_800_000,
    idleTimeoutMs: 300_000,
  });
});
