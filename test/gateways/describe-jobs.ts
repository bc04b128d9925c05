// What a job sees of the gateway that mints its keys: the tests of each gateway start a rig of it, and add what only that one does.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';
import { afterAll, expect, test, vi } from 'vitest';

import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import { withScript } from '../../src/dev/scripted-model/script.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { expectEnded, secretOf, statusWith } from '../helpers/ended.ts';
import { findSecrets } from '../helpers/secrets.ts';
import { inMidTurn } from '../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { WAIT } from '../helpers/wait.ts';
import { acceptedKeys, type ExternalRig, type MintedRecord } from './rigs/rig.ts';

const AGENTS = ['codex', 'claude', 'opencode', 'qwen', 'mock'] as const;
/** One agent for each protocol: Responses, Messages, Chat Completions. */
const BY_PROTOCOL = ['codex', 'claude', 'qwen'] as const;

export interface Jobs {
  stack: () => Stack;
  spec: (change?: Partial<JobSpecInput>) => JobSpecInput;
  /** Submits a job, and resolves to its id once it waits for a prompt. */
  open: (change?: Partial<JobSpecInput>) => Promise<string>;
  /** The one key of a job that the gateway accepts. */
  keyOf: (jobId: string) => Promise<MintedRecord>;
}

/** Registers the tests that all gateways pass. Returns what the tests of one gateway need. */
export async function describeJobs(rig: ExternalRig): Promise<Jobs> {
  const { gateway, title } = rig;
  const sealing = await generateSealingKey();
  const environment = { ...rig.environment, VALETKEY_SEALING_KEY: sealing.privateKey, VALETKEY_SWEEP_INTERVAL: '2s' };
  const stack = useStack({ environment: { ...environment, VALETKEY_SWEEP_GRACE: '1s', VALETKEY_INVENTORY_INTERVAL: '4s' } });
  const secrets: string[] = [];
  afterAll(async () => expect(await findSecrets(stack(), secrets), 'places that hold a key of the gateway').toEqual([]));

  const spec = (change: Partial<JobSpecInput> = {}): JobSpecInput => {
    const [model = ''] = change.agent === 'claude' ? rig.models.anthropic : rig.models.openai;
    return jobSpec({ agent: 'mock', model, budgetUsd: 5, credential: { strategy: 'gateway', gateway }, ...change });
  };
  const isWaiting = async (jobId: string): Promise<void> => {
    const { jobs } = stack().client;
    const seen = async (): Promise<unknown> => {
      const { phase } = await jobs.status(jobId);
      return phase === 'ending' || phase === 'ended' ? jobs.result(jobId) : phase;
    };
    await vi.waitFor(async () => expect(await seen()).toBe('waiting'), WAIT);
  };
  const open = async (change: Partial<JobSpecInput> = {}): Promise<string> => {
    const { jobId } = await stack().client.jobs.submit(spec({ keepOpen: '2m', ...change }));
    await isWaiting(jobId);
    return jobId;
  };
  const keyOf = async (jobId: string): Promise<MintedRecord> => {
    const [key, ...others] = await acceptedKeys(rig, jobId);
    if (key === undefined || others.length > 0) throw new Error(`${title} accepts ${others.length} keys too many of ${jobId}, or none`);
    secrets.push(key.secret);
    return key;
  };
  test.concurrent.for(AGENTS)(
    'a job of %s runs through it and is settled to its figure; its key is gone, and was never in the sandbox',
    async (agent) => {
      const { client } = stack();
      const jobId = await open({ agent, artifacts: ['found.txt'] });
      const { secret } = await keyOf(jobId);
      await client.jobs.prompt(jobId, withScript('Search.', [{ run: searchFor(secret) }, { say: 'Searched.' }]));
      await vi.waitFor(async () => expect((await client.jobs.status(jobId)).turns).toBe(2), WAIT);
      await isWaiting(jobId);
      await client.jobs.cancel(jobId);
      const { turns, usage } = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
      expect(turns).toHaveLength(2);
      expect((await client.jobs.artifact(jobId, 'files/found.txt'))?.content.toString().trim()).toBe('0');
      const keys = await rig.keysOf(jobId);
      expect(keys).toMatchObject([{ isAccepted: false, isListed: false }]);
      const usd = keys.reduce((sum, key) => sum + key.usd, 0);
      expect(usd).toBeGreaterThan(0);
      expect(usage.usd).toBeCloseTo(usd, 9);
    },
  );

  test.concurrent.for(['codex', 'claude'] as const)(
    'a job of %s whose sandbox holds the key of the gateway itself runs through it',
    async (agent) => {
      const { client } = stack();
      const jobId = await open({ agent, credential: { strategy: 'gateway', gateway, delivery: 'direct' } });
      const { secret } = await keyOf(jobId);
      const { items } = await client.keys.list({ jobId });
      expect(items).toMatchObject([{ gateway, delivery: 'direct' }]);
      expect(await statusWith(stack(), secretOf(stack(), items[0]?.ref ?? 'none/none/1'))).toBe(401);
      expect(await statusWith(stack(), secret)).toBe(200);
      await client.jobs.cancel(jobId);
      await client.jobs.result(jobId);
      expect(await statusWith(stack(), secret)).toBe(401);
      expect(await acceptedKeys(rig, jobId)).toEqual([]);
    },
  );

  const named = [
    ...rig.models.openai.map((model) => ['codex', model] as const),
    ...rig.models.anthropic.map((model) => ['claude', model] as const),
  ];
  test.concurrent.for(named)('a job of %s names the model %s', async ([agent, model]) => {
    const { jobId } = await stack().client.jobs.submit(spec({ agent, model }));
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  });

  test.concurrent.for(BY_PROTOCOL)('a job of %s whose budget is spent at the gateway ends so', async (agent) => {
    const jobId = await open({ agent });
    await rig.spendBudget((await keyOf(jobId)).id);
    await stack().client.jobs.prompt(jobId, 'say hello');
    await expectEnded(stack(), jobId, { outcome: 'failed', code: 'budget_exhausted' });
  });

  test('a job that is terminated has its key ended there, too', async () => {
    const jobId = await inMidTurn(stack(), 120, spec());
    await keyOf(jobId);
    const { address, namespace } = stack().temporal;
    const connection = await Connection.connect({ address });
    await new Client({ connection, namespace }).workflow.getHandle(jobId).terminate();
    await connection.close();
    await vi.waitFor(async () => expect(await acceptedKeys(rig, jobId)).toEqual([]), WAIT);
  });

  test('a key that somebody deletes there fails its job with what names the key', async () => {
    const jobId = await open();
    await rig.deleteKey((await keyOf(jobId)).id);
    await stack().client.jobs.prompt(jobId, 'say hello');
    const { failure } = await stack().client.jobs.result(jobId);
    expect(failure).toMatchObject({ code: 'llm_unauthorized' });
    expect(failure?.message).toContain(`the key that ${title} minted for the job`);
  });

  test('with the gateway away a mint waits for it, and an end goes on until it is back', async () => {
    const { client } = stack();
    rig.line.cut();
    const { jobId } = await client.jobs.submit(spec({ keepOpen: '2m' }));
    await sleep(3_000);
    rig.line.restore();
    await isWaiting(jobId);
    await keyOf(jobId);
    rig.line.cut();
    await client.jobs.cancel(jobId);
    await sleep(5_000);
    expect(await acceptedKeys(rig, jobId)).toHaveLength(1);
    rig.line.restore();
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(await acceptedKeys(rig, jobId)).toEqual([]);
  });

  test('with our admin credential rotated away the end of a key is stuck, and goes on when the right one is back', async () => {
    const { client } = stack();
    const jobId = await open();
    await keyOf(jobId);
    const restore = rig.rotateAdmin();
    await client.jobs.cancel(jobId);
    await vi.waitFor(async () => expect((await client.jobs.status(jobId)).keyState).toBe('stuck'), WAIT);
    expect(await acceptedKeys(rig, jobId)).toHaveLength(1);
    restore();
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(await acceptedKeys(rig, jobId)).toEqual([]);
  });

  test('a mint whose answer is lost leaves one key while the job runs, and none after', async () => {
    const jobId = `lost-${randomUUID()}`;
    rig.faults.arm('mint', { is: 'lost', when: 'after' }, { jobId, times: 2 });
    await stack().client.jobs.submit(spec({ keepOpen: '2m' }), { id: jobId });
    await isWaiting(jobId);
    await keyOf(jobId);
    await stack().client.jobs.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(await acceptedKeys(rig, jobId)).toEqual([]);
    expect(rig.recorded.filter((call) => call.jobId === jobId && call.fault?.is === 'lost')).toHaveLength(2);
  });

  return { stack, spec, open, keyOf };
}

/** A command that looks through environments, arguments and files for a secret, and does not hold it itself. */
function searchFor(secret: string): string {
  const pattern = `${secret.slice(0, -1).replaceAll(/[+.*^$/]/g, '[$&]')}[${secret.slice(-1)}]`;
  return [
    `{ env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr "\\0" "\\n"; } 2> /dev/null | grep -c '${pattern}' > found.txt`,
    `grep -rla --exclude-dir=node_modules --exclude=found.txt '${pattern}' "$HOME" "$PWD" /tmp /run /etc /var /opt 2> /dev/null >> found.txt`,
    'true',
  ].join('; ');
}
