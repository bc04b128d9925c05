import { once } from 'node:events';
import { createServer } from 'node:net';

import { expect, test } from 'vitest';

import { document, valetkey } from './valetkey.ts';

const NOWHERE = { DATABASE_URL: 'postgres://valetkey:made-up-password@127.0.0.1:1/none', TEMPORAL_ADDRESS: '127.0.0.1:1' };
const CLIENT_COMMANDS = [['status', 'job-1'], ['events', 'job-1'], ['cancel', 'job-1'], ['list']];

test.concurrent.each(CLIENT_COMMANDS)('%s ends with exit code 7 where Temporal does not answer', async (...args) => {
  const { stdout, stderr, exitCode } = await valetkey(args, { env: NOWHERE });
  expect({ exitCode, stdout }).toEqual({ exitCode: 7, stdout: '' });
  expect(stderr).toContain('Temporal does not answer');
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
  expect(document(stderr)).toMatchObject({ error: { code: 'temporal_unreachable' } });
});

test.each(['worker', 'gateway'])('%s ends with exit code 7 where Postgres does not answer', async (command) => {
  const { stderr, exitCode } = await valetkey([command], {
    env: { ...NOWHERE, VALETKEY_ROOT_KEY: Buffer.alloc(32, 'made-up').toString('base64'), VALETKEY_LOG_LEVEL: 'error' },
  });
  expect(exitCode).toBe(7);
  expect(stderr).toContain('Postgres does not answer');
  expect(stderr).not.toContain('made-up-password');
});

test.each([...CLIENT_COMMANDS, ['worker'], ['gateway']])('%s says which variable is missing, with exit code 2', async (...args) => {
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
