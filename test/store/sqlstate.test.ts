import { expect, it } from 'vitest';

import { asDatabaseError } from '../../src/store/database.ts';
import { classifySqlState } from '../../src/store/sqlstate.ts';

it.each([
  ['08006', 'unreachable'],
  ['57P01', 'unreachable'],
  ['57P03', 'unreachable'],
  ['ECONNREFUSED', 'unreachable'],
  ['58030', 'unreachable'],
  ['XX001', 'unreachable'],
  ['28P01', 'unauthorized'],
  ['28000', 'refused'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'tls'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls'],
  ['3D000', 'missing'],
  ['25006', 'read_only'],
  ['53100', 'full'],
  ['53300', 'busy'],
  ['57014', 'busy'],
  ['40001', 'busy'],
  ['40P01', 'busy'],
  ['55P03', 'busy'],
  ['42P01', 'no_tables'],
  ['22003', null],
  ['23505', null],
  ['42601', null],
  ['25P02', null],
  ['', null],
])('SQLSTATE %s means %s', (code, problem) => {
  expect(classifySqlState(code)).toBe(problem);
});

it('an error of Postgres itself is retryable, and does not quote the driver', async () => {
  const error = Object.assign(new Error('postgres://user:password@host/'), { code: '25006' });
  const failure = asDatabaseError(Promise.reject(error));
  await expect(failure).rejects.toMatchObject({ code: 'database_unreachable', retryable: true });
  await expect(failure).rejects.not.toThrow('password');
});
