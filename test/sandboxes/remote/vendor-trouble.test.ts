// What goes wrong at a vendor, for both: lost answers, rate limits, listings that miss what there is, sandboxes that do not run.
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { SandboxRequest } from '../../../src/sandboxes/sandbox.ts';
import { createRemoteRig, providerAt, type RemoteRig } from '../remote-rig.ts';
import { run } from '../rig.ts';

describe.each(['e2b', 'daytona'] as const)('at %s', (name) => {
  let rig: RemoteRig;
  beforeAll(async () => {
    rig = await createRemoteRig(name, { lifetimeMs: 5 * 60_000 });
  });
  afterAll(() => rig.close());

  const request = (jobId: string, change: Partial<SandboxRequest> = {}): SandboxRequest => ({
    jobId,
    agent: 'mock',
    isolation: name === 'e2b' ? 'microvm' : 'container',
    ...change,
  });
  const ofJob = (jobId: string) => [...rig.cloud.sandboxes.values()].filter(({ labels }) => Object.values(labels).includes(jobId));
  const creations = (): number => rig.cloud.requests.filter(({ line }) => line === 'POST /v2/sandboxes' || line === 'POST /sandbox').length;

  test('a creation whose answer is lost gives one sandbox, which is used', async () => {
    rig.cloud.faults.arm('create', { is: 'lost' });
    const { id } = await rig.provider.start(request('lost-answer'));
    expect(ofJob('lost-answer').map((sandbox) => sandbox.id)).toEqual([id]);
    await rig.provider.stop('lost-answer');
  });

  test('a rate limit is waited for, as long as the vendor says', async () => {
    rig.cloud.faults.arm('create', { is: 'status', status: 429, retryAfterS: 1 }, 2);
    const startedMs = performance.now();
    await rig.provider.start(request('limited'));
    expect(performance.now() - startedMs).toBeGreaterThan(2_000);
    expect(ofJob('limited')).toHaveLength(1);
    await rig.provider.stop('limited');
  });

  test('a vendor that fails is an error that may be tried again and quotes nothing of its answer', async () => {
    rig.cloud.faults.arm('create', { is: 'status', status: 500 });
    const failing = rig.provider.start(request('fails'));
    await expect(failing).rejects.toMatchObject({ code: 'sandbox_provider_unreachable', retryable: true });
    await expect(failing).rejects.not.toThrow('the fault says so');
    expect(ofJob('fails')).toEqual([]);
  });

  test('an API key that the vendor refuses is an error that is not tried again', async () => {
    const stranger = providerAt({ ...rig.place, apiKey: 'e2b_ffffffffffffffffffffffffffffffffffffffff' });
    await expect(stranger.start(request('refused'))).rejects.toMatchObject({ code: 'sandbox_provider_refused', retryable: false });
    expect(await stranger.check?.()).toMatchObject([{ code: 'sandbox_provider_refused' }]);
    expect(await rig.provider.check?.()).toEqual([]);
  });

  test('a stop does not believe one listing without the sandbox', async () => {
    await rig.provider.start(request('flaps'));
    rig.cloud.faults.arm('list', { is: 'missing' }, 2);
    await rig.provider.stop('flaps');
    expect(ofJob('flaps')).toEqual([]);
  });

  test('surplus sandboxes of a job are ended by its next start, and the oldest stays', async () => {
    const first = await rig.provider.start(request('surplus'));
    const [oldest] = ofJob('surplus');
    if (oldest === undefined) throw new Error('The sandbox is missing.');
    const extra = await rig.cloud.create({ ...oldest, name: 'surplus' }, 600_000, true);
    extra.state = oldest.state;
    expect((await rig.provider.start(request('surplus'))).id).toBe(first.id);
    expect(ofJob('surplus').map(({ id }) => id)).toEqual([first.id]);
    await rig.provider.stop('surplus');
  });

  test('of several sandboxes of a job the one whose server answers stays, although another is older', async () => {
    const { id } = await rig.provider.start(request('answers'));
    const [used] = ofJob('answers');
    if (used === undefined) throw new Error('The sandbox is missing.');
    const older = await rig.cloud.create({ ...used, name: 'older' }, 600_000, true);
    Object.assign(older, { state: used.state, startedAt: new Date(used.startedAt.getTime() - 1_000) });
    expect((await rig.provider.start(request('answers'))).id).toBe(id);
    expect(ofJob('answers').map((sandbox) => sandbox.id)).toEqual([id]);
    await rig.provider.stop('answers');
  });

  test('a start whose sandbox is ended meanwhile is an error that may be tried again, and creates no second one', async () => {
    const before = creations();
    rig.cloud.faults.arm('run', { is: 'slow', ms: 1_000 });
    const outcome = rig.provider.start(request('ended')).catch((error: unknown) => error);
    await expect.poll(() => ofJob('ended').length).toBe(1);
    for (const { id } of ofJob('ended')) await rig.cloud.kill(id);
    expect(await outcome).toMatchObject({ code: 'sandbox_start_failed', retryable: true });
    expect([creations() - before, ofJob('ended')]).toEqual([1, []]);
  });

  test.each(name === 'e2b' ? ['paused'] : ['paused', 'stopped', 'archived', 'error'])(
    'a sandbox that is %s is listed and stopped',
    async (state) => {
      const jobId = `is-${state}`;
      await rig.provider.start(request(jobId));
      for (const sandbox of ofJob(jobId)) sandbox.state = state;
      expect((await rig.provider.list()).map((listed) => listed.jobId)).toContain(jobId);
      await rig.provider.stop(jobId);
      expect(ofJob(jobId)).toEqual([]);
    },
  );

  test('all pages of a listing are read', async () => {
    const jobs = ['page-1', 'page-2', 'page-3', 'page-4', 'page-5'];
    for (const jobId of jobs) await rig.provider.start(request(jobId));
    expect((await rig.provider.list()).map(({ jobId }) => jobId)).toEqual(expect.arrayContaining(jobs));
    for (const jobId of jobs) await rig.provider.stop(jobId);
  });

  test('a request whose connection breaks is sent again, and one to a sandbox that has ended is not', async () => {
    const handle = await rig.provider.start(request('broken'));
    const sandbox = rig.provider.connect(handle);
    rig.cloud.faults.arm('pass', { is: 'lost' }, 3);
    expect((await sandbox.fetch('/v1/health')).status).toBe(200);
    rig.cloud.faults.arm('pass', { is: 'status', status: 503 }, 2);
    expect((await sandbox.fetch('/v1/health')).status).toBe(200);
    await rig.cloud.kill(handle.id);
    const startedMs = performance.now();
    await expect(sandbox.fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_lost' });
    expect(performance.now() - startedMs).toBeLessThan(1_000);
    await sandbox.close();
    expect(await rig.provider.halt(handle)).toBeNull();
  });

  test('a token that the agent has changed is no header of its own', async () => {
    const handle = await rig.provider.start(request('changed-token'));
    const [sandbox] = ofJob('changed-token');
    await sandbox?.machine.writeFile('/home/agent/.valetkey/token', Buffer.from('x\r\nhost: elsewhere'));
    const connection = rig.provider.connect(handle);
    await expect(connection.fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_lost' });
    await connection.close();
    await rig.provider.stop('changed-token');
  });

  test('the network of a sandbox is asked for as a whole: the gateway, the hosts of its job, and nothing else', async () => {
    await rig.provider.start(request('network', { egress: { hosts: ['git.example.com', '*.npm.example.com'], ports: [443, 80] } }));
    const [sandbox] = ofJob('network');
    expect(sandbox?.request).toMatchObject(
      name === 'e2b'
        ? {
            network: {
              allowPublicTraffic: false,
              allowOut: ['127.0.0.1', 'git.example.com', '*.npm.example.com'],
              denyOut: ['0.0.0.0/0'],
            },
            autoPause: false,
            timeout: 300,
          }
        : {
            networkAllowList: '127.0.0.1/32',
            domainAllowList: 'git.example.com,*.npm.example.com',
            public: false,
            autoStopInterval: 5,
            autoDeleteInterval: 0,
            ttlMinutes: 5,
            secrets: [{ VALETKEY_PLACEHOLDER: 'valetkey-placeholder' }],
          },
    );
    await rig.provider.stop('network');
  });

  test.each([
    ['a limit', { limits: { memoryMiB: 1024 } }, 'sandbox.limits.memoryMiB'],
    ['a limit of its traffic', { egress: { hosts: ['a.example.com'], ports: [443, 80], maxMiB: 10 } }, 'sandbox.egress.maxMiB'],
    ['one port of a host', { egress: { hosts: ['a.example.com'], ports: [443] } }, 'sandbox.egress'],
    ['another port of a host', { egress: { hosts: ['a.example.com:8443'], ports: [443, 80] } }, 'sandbox.egress'],
  ])('a job that wants %s is refused before anything is created', async (_what, change, field) => {
    const before = creations();
    const refused = rig.provider.start(request('unsupported', change));
    await expect(refused).rejects.toMatchObject({ code: 'sandbox_unsupported', retryable: false });
    await expect(refused).rejects.toThrow(field);
    expect(creations()).toBe(before);
  });

  test('the environment of a job reaches its sandbox, and nothing of the vendor’s reaches the agent', async () => {
    const handle = await rig.provider.start(request('environment', { env: { GREETING: 'it’s "me"' } }));
    const sandbox = rig.provider.connect(handle);
    const names = (await run(sandbox, 'env')).split('\n').filter((line) => /^(E2B|DAYTONA|VALETKEY)/.test(line));
    expect(await run(sandbox, 'printf %s "$GREETING"')).toBe('it’s "me"');
    expect(names).toEqual([]);
    await sandbox.close();
    await rig.provider.stop('environment');
  });
});

test('a sandbox ends by itself once no worker extends it, and not before', async () => {
  const rig = await createRemoteRig('e2b', { lifetimeMs: 4_000 });
  try {
    const handle = await rig.provider.start({ jobId: 'lives', agent: 'mock', isolation: 'microvm' });
    const serving = rig.provider.serve?.();
    await sleep(9_000);
    expect(rig.cloud.sandboxes.has(handle.id)).toBe(true);
    await serving?.close();
    await expect.poll(() => rig.cloud.sandboxes.has(handle.id), { timeout: 8_000 }).toBe(false);
  } finally {
    await rig.close();
  }
});
