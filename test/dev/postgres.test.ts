import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import pg from 'pg';
import { expect, it, vi } from 'vitest';

import { startPostgres } from '../../src/dev/postgres.ts';
import { overTcp } from '../helpers/over-tcp.ts';
import { isListening, killedAfter } from './launcher.ts';

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

const portOf = (url: string): number => Number(new URL(url).port);

it('a halted Postgres comes back at the same URL with its data, and a stopped one leaves nothing', async () => {
  const postgres = await startPostgres();
  try {
    const database = await postgres.createDatabase('of "a" test');
    await query(database, 'create table kept as select 1 as one');
    await postgres.halt();
    await expect(query(database, 'select 1')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(query(overTcp(database), 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await postgres.resume();
    const asked = 'select one, inet_client_addr() is null as is_local from kept';
    expect(await query(database, asked)).toEqual([{ one: 1, is_local: true }]);
    expect(await query(overTcp(database), asked)).toEqual([{ one: 1, is_local: false }]);
  } finally {
    const [setting] = await query(postgres.url, 'show data_directory');
    await postgres.stop();
    expect(existsSync(String(setting?.data_directory))).toBe(false);
  }
  expect(() => process.kill(postgres.pid, 0)).toThrow('ESRCH');
});

it('two run side by side, each with its own port below those of clients, and its own password', async () => {
  const [one, two] = await Promise.all([startPostgres(), startPostgres()]);
  try {
    expect(portOf(one.url)).not.toBe(portOf(two.url));
    expect(Math.max(portOf(one.url), portOf(two.url))).toBeLessThan(32_768);
    const forged = new URL(one.url);
    forged.password = new URL(two.url).password;
    await expect(query(forged.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
});

it('a temporary folder whose path leaves no room for the address of a socket is not used', async ({ onTestFinished }) => {
  const folder = await mkdtemp(join(tmpdir(), 'x'.repeat(90)));
  onTestFinished(() => rm(folder, { recursive: true }));
  await chmod(folder, 0o711);
  vi.stubEnv('TMPDIR', folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  const postgres = await startPostgres();
  onTestFinished(() => postgres.stop());
  expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect(await readdir(folder)).toEqual([]);
});

it.skipIf(process.platform !== 'linux')('a killed launcher leaves no Postgres behind', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'valetkey-test-'));
  await chmod(folder, 0o711);
  try {
    const port = Number(await killedAfter('postgres.ts', 'console.log(new URL((await dev.startPostgres()).url).port)', folder));
    expect(await readdir(folder)).toHaveLength(1);
    await expect.poll(() => isListening(port)).toBe(false);
  } finally {
    // The kernel told Postgres to end; its last files may still be on their way.
    await rm(folder, { recursive: true, maxRetries: 10, retryDelay: 200 });
  }
});
