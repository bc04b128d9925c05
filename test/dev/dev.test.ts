import { once } from 'node:events';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { createClient, type ValetkeyClient } from '../../src/client/client.ts';
import { withScript } from '../../src/dev/scripted-model/index.ts';
import { document, valetkey } from '../cli/valetkey.ts';
import { killNow } from '../helpers/kill.ts';
import { jobSpec } from '../helpers/stack.ts';
import { environmentIn, newPlace, processesIn, removePlace, startDev, type DevProcess } from './dev-process.ts';

/** Nobody listens there. */
const NOWHERE = 'http://127.0.0.1:1';
const PROXIES = { http_proxy: NOWHERE, https_proxy: NOWHERE, HTTP_PROXY: NOWHERE, HTTPS_PROXY: NOWHERE };
const HANGS = withScript('Wait.', [{ say: 'I wait.' }, { hang: true }]);

function clientOf({ ready: { environment } }: DevProcess): Promise<ValetkeyClient> {
  const { DATABASE_URL: databaseUrl = '', TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = '' } = environment;
  return createClient({ databaseUrl, temporal: { address, namespace } });
}

/** A backend that submits all the time, until the signal aborts. Resolves to how many jobs were accepted. */
async function submitting(client: ValetkeyClient, signal: AbortSignal): Promise<number> {
  let accepted = 0;
  while (!signal.aborted) {
    void client.jobs.submit(jobSpec({ agent: 'mock', prompts: [HANGS] })).then(
      () => accepted++,
      () => {},
    );
    await sleep(300, undefined, { signal }).catch(() => {});
  }
  return accepted;
}

/** Signals a stack on which jobs run and keep arriving, and returns how it ended. */
async function stopUnderLoad(dev: DevProcess, signals: readonly number[]): Promise<{ exitCode: number | undefined; accepted: number }> {
  const client = await clientOf(dev);
  const enough = new AbortController();
  const load = submitting(client, enough.signal);
  await expect.poll(async () => (await client.jobs.list({ running: true })).items.length).toBeGreaterThan(3);
  for (const ms of signals) {
    await sleep(ms);
    dev.child.kill('SIGINT');
  }
  const { exitCode } = await dev.child;
  enough.abort();
  const accepted = await load;
  await client.close();
  return { exitCode, accepted };
}

const readRing = (place: string): Promise<string> => readFile(join(place, 'valetkey-dev/keyring.json'), 'utf8');

describe('a stack in an environment that names proxies and excepts nothing, through its starts and stops', () => {
  let place: string;
  let env: Record<string, string>;
  let first: DevProcess;
  let ring: string;
  let dev: DevProcess;

  beforeAll(async () => {
    place = await newPlace();
    env = { ...environmentIn(place), ...PROXIES };
    first = await startDev(place, [], PROXIES);
    ring = await readRing(place);
  });
  afterAll(() => removePlace(place));

  test.each(['codex', 'claude'] as const)(
    'a prompt of %s without a script gets a patch that says what the scripted model is',
    async (agent) => {
      const input = JSON.stringify(jobSpec({ agent, prompts: ['Fix the failing test.'] }));
      const run = await valetkey(['run', '--spec', '-', '--id', agent, '--json'], { env, input });
      expect({ exitCode: run.exitCode, stderr: run.stderr }).toEqual({ exitCode: 0, stderr: '' });
      const patch = await valetkey(['artifacts', agent, 'patch'], { env });
      expect(patch.stdout).toContain('+# Written by the scripted model');
      expect(patch.stdout).toContain('valetkey dev --live');
    },
  );

  test('valetkey finds it and says so in one line, unless the environment names another', async () => {
    const elsewhere = await valetkey(['list']);
    expect(elsewhere.stderr).toContain('DATABASE_URL is not set, and no valetkey dev runs');
    const [list, seal, other, own, shell] = await Promise.all([
      valetkey(['list', '--tenant', 'nobody'], { env }),
      valetkey(['seal', '--tenant', 'acme'], { env, input: 'a-token-of-a-git-server' }),
      valetkey(['list'], { env: { ...env, TEMPORAL_ADDRESS: '127.0.0.1:1' } }),
      valetkey(['dev'], { env }),
      execa('sh', ['-c', `. ${first.ready.environmentFile} && printf %s "$DATABASE_URL"`]),
    ]);
    const line = `valetkey: using the stack of valetkey dev (pid ${first.child.pid})`;
    expect(list).toMatchObject({ exitCode: 0, stdout: 'no jobs', stderr: line });
    expect(seal).toMatchObject({ exitCode: 0, stderr: line });
    expect(other.stderr).toContain('DATABASE_URL is not set');
    expect(own.stderr).toContain(`Another valetkey dev (pid ${first.child.pid}) has ${join(place, 'valetkey-dev')}`);
    expect(shell.stdout).toBe(first.ready.environment['DATABASE_URL']);
  });

  test('the stop ends the jobs that run, starts no sandbox any more and leaves none', async () => {
    const { exitCode, accepted } = await stopUnderLoad(first, [1_000]);
    expect(exitCode).toBe(0);
    expect(accepted).toBeGreaterThan(5);
    expect(await readdir(join(place, 'valetkey-dev/host/jobs'))).toEqual([]);
    expect(await processesIn(place)).toEqual([]);
  });

  test('the next start has the same keys, addresses, history and results; only its user can read what it keeps', async () => {
    dev = await startDev(place, [], PROXIES);
    expect(dev.ready).toEqual(first.ready);
    expect(await readRing(place)).toBe(ring);
    const [status, list] = await Promise.all([
      valetkey(['status', 'codex', '--json'], { env }),
      valetkey(['list', '--limit', '1000'], { env }),
    ]);
    expect(document(status.stdout)).toMatchObject({ jobId: 'codex', state: 'completed', phase: 'ended' });
    // Those that no worker had begun to end go on.
    expect(list.stdout.match(/^job-/gm)?.length).toBeGreaterThan(3);
    for (const file of ['env', 'keyring.json', 'temporal', 'logs'])
      expect([file, (await stat(join(place, 'valetkey-dev', file))).mode & 0o077]).toEqual([file, 0]);
  });

  test('one that was killed is said to have ended, and the next start goes on', async () => {
    dev.child.kill('SIGKILL');
    await dev.child;
    const stale = await valetkey(['list'], { env });
    expect(stale.exitCode).toBe(2);
    expect(stale.stderr).toContain('has ended: start it again');
    dev = await startDev(place, [], PROXIES);
    expect((await valetkey(['list'], { env })).stdout).toContain('completed');
  });

  test('a part that dies is named on the terminal with its log, which is kept', async () => {
    const [temporal] = await processesIn(join(place, 'valetkey-dev/temporal/temporal.db'));
    killNow(temporal);
    await expect.poll(() => dev.report()).toMatch(/^Temporal has ended: .*start again.* Its log: .*temporal\.log$/m);
    dev.child.kill('SIGINT');
    await sleep(1_000);
    dev.child.kill('SIGINT');
    expect((await dev.child).exitCode).toBe(130);
    expect(dev.report().match(/has ended/g)).toHaveLength(1);
    expect(dev.report()).toContain(`log: ${join(place, 'valetkey-dev/logs/log.jsonl')}`);
    expect(await readdir(join(place, 'valetkey-dev/logs'))).toEqual(['log.jsonl', 'postgres.log', 'temporal.log']);
    expect(await processesIn(place)).toEqual([]);
  });

  test('a port that another program has taken meanwhile is named', async () => {
    const port = Number(first.ready.environment['TEMPORAL_ADDRESS']?.split(':')[1]);
    await using server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const { exitCode, stderr } = await valetkey(['dev', '--json'], { env: environmentIn(place) });
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`Port ${port}, which Temporal had at the first start, is taken by another program`);
    expect(await processesIn(place)).toEqual([]);
  });
});

test('a second Ctrl-C waits for no job, and an ephemeral stack leaves neither a process nor a file', async ({ onTestFinished }) => {
  const place = await newPlace();
  onTestFinished(() => removePlace(place));
  const { exitCode } = await stopUnderLoad(await startDev(place, ['--ephemeral']), [1_000, 700]);
  expect(exitCode).toBe(130);
  // The compiler that bundles the workflow keeps its native part in the temporary folder, one for all processes of a user.
  expect((await readdir(place)).filter((name) => !name.startsWith('swc-native-'))).toEqual([]);
  expect(await processesIn(place)).toEqual([]);
});
