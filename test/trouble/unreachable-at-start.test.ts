import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';

import { document, valetkey } from '../cli/valetkey.ts';
import { newDatabase } from '../helpers/database.ts';

const PASSWORD = 'password-made-up-for-tests';

/** Takes connections and says nothing. */
let silent: Server;
let silentAddress: string;
let databaseUrl: string;
beforeAll(async () => {
  silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  silentAddress = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  databaseUrl = await newDatabase();
});
afterAll(() => silent.close());

const silentPostgres = () => ({ DATABASE_URL: `postgres://valetkey:${PASSWORD}@${silentAddress}/none` });

describe.concurrent('a process that cannot reach', () => {
  test.each([
    ['Postgres, which is silent', 'worker', silentPostgres, 'database_unreachable', 'Postgres'],
    ['Postgres, which is silent', 'gateway', silentPostgres, 'database_unreachable', 'Postgres'],
    ['Temporal, which is down', 'worker', () => ({ TEMPORAL_ADDRESS: '127.0.0.1:1' }), 'temporal_unreachable', 'Temporal'],
  ])('%s: the %s names it within seconds, and ends with exit code 7', async (_what, command, at, code, name) => {
    const { stdout, stderr, exitCode, durationMs } = await valetkey([command, '--json'], {
      env: {
        DATABASE_URL: databaseUrl,
        TEMPORAL_ADDRESS: inject('temporal').address,
        VALETKEY_ROOT_KEY: Buffer.alloc(32, 'made-up').toString('base64'),
        VALETKEY_GATEWAY_PORT: '0',
        VALETKEY_LOG_LEVEL: 'error',
        ...at(),
      },
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 7, stdout: '' });
    expect(document(stderr)).toMatchObject({ error: { code, message: expect.stringContaining(name) as unknown } });
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stderr).not.toContain(PASSWORD);
    expect(durationMs).toBeLessThan(20_000);
  });
});
