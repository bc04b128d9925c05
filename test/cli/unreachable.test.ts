import { once } from 'node:events';
import { createServer } from 'node:net';

import { expect, test } from 'vitest';

import { document, valetkey } from './valetkey.ts';

const NOWHERE = { DATABASE_URL: 'postgres://valetkey:made-up-password@127.0.0.1:1/none', TEMPORAL_ADDRESS: '127.0.0.1:1' };
const WITH_TEMPORAL = [['status', 'job-1'], ['cancel', 'job-1'], ['list']];
/** What they do first, or all that they do, needs no Temporal. */
const WITH_POSTGRES = [['events', 'job-1'], ['artifacts', 'job-1'], ['keys'], ['revoke', '--tenant', 'acme'], ['worker'], ['gateway']];

test.concurrent.each(WITH_TEMPORAL)('%s ends with exit code 7 where Temporal does not answer', async (...args) => {
  const { stdout, stderr, exitCode } = await valetkey(args, { env: NOWHERE });
  expect({ exitCode, stdout }).toEqual({ exitCode: 7, stdout: '' });
  expect(stderr).toContain('Temporal does not answer at 127.0.0.1:1: nothing listens there.');
  expect(stderr).toContain('TEMPORAL_ADDRESS');
  expect(stderr).not.toContain('made-up-password');
});

test.concurrent('a Temporal that accepts connections and says nothing ends a command with exit code 7, too', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const { stderr, exitCode } = await valetkey(['list', '--json'], { env: { ...NOWHERE, TEMPORAL_ADDRESS: `127.0.0.1:${port}` } });
  silent.close();
  expect(exitCode).toBe(7);
  expect(document(stderr)).toMatchObject({
    error: { code: 'temporal_unreachable', message: `Temporal does not answer at 127.0.0.1:${port}: what listens there says nothing.` },
  });
});

test.each(WITH_POSTGRES)('%s ends with exit code 7 where Postgres does not answer', async (...args) => {
  const { stderr, exitCode } = await valetkey(args, {
    env: { ...NOWHERE, VALETKEY_ROOT_KEY: Buffer.alloc(32, 'made-up').toString('base64'), VALETKEY_LOG_LEVEL: 'error' },
  });
  expect(exitCode).toBe(7);
  expect(stderr).toContain('Postgres does not answer (127.0.0.1:1).');
  expect(stderr).not.toContain('made-up-password');
});

test.each([...WITH_TEMPORAL, ...WITH_POSTGRES])('%s says which variable is missing, with exit code 2', async (...args) => {
  const { stdout, stderr, exitCode } = await valetkey(args);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain('DATABASE_URL is not set');
});

test('a variable that is wrong is named, its value is not', async () => {
  const { stderr, exitCode } = await valetkey(['list'], { env: { DATABASE_URL: 'made-up-value' } });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('DATABASE_URL: must begin with postgres://');
  expect(stderr).not.toContain('made-up-value');
});
