// No key outlives its job: whatever ends the job, its key is dead before the job has ended; and where nothing of ours is left to
// end it, the key is dead from five minutes after the job's deadline on.
// Here a key is tried from outside while its job runs and ends; each other test of a job tries its keys at the end (expectEnded),
// also where the gateway, Postgres, Temporal or the worker was lost.
import { setTimeout as sleep } from 'node:timers/promises';

import { noopMetricMeter } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import type { FailureCode } from '../../../src/contract/errors.ts';
import type { Outcome } from '../../../src/contract/result.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { createGateways } from '../../../src/gateways/index.ts';
import type { KeyContext } from '../../../src/keys/context.ts';
import { createRootKeys } from '../../../src/keys/derive.ts';
import { endKey } from '../../../src/keys/end-key.ts';
import { mintKey, type MintParams } from '../../../src/keys/mint-key.ts';
import { renewSessionKey } from '../../../src/keys/session-key.ts';
import { openDatabase, type Database } from '../../../src/store/database.ts';
import { createKeyMetrics } from '../../../src/telemetry/metrics.ts';
import { expectEnded, secretOf, statusWith } from '../../helpers/ended.ts';
import { wantedKey } from '../../helpers/minted-key.ts';
import { slowly } from '../../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

const stack = useStack();
const MODEL = 'gpt-5.1-codex';

describe.concurrent('the key of a job that', () => {
  const endings: [string, Partial<JobSpecInput>, Outcome, FailureCode | null][] = [
    // Longer than a busy machine takes until it looks at the key; the deadline below takes longer still.
    ['completes', { prompts: [slowly(8)] }, 'completed', null],
    ['fails', { prompts: [withScript('Fail.', [{ run: 'sleep 1' }, { fail: { status: 500 } }])] }, 'failed', 'llm_failed'],
    ['is cancelled', { prompts: [slowly(60)] }, 'cancelled', 'cancelled'],
    ['reaches its deadline', { prompts: [slowly(60)], deadline: '25s' }, 'deadline_exceeded', 'deadline_exceeded'],
  ];
  test.each(endings)('%s is accepted while it runs, and never again from its end on', async (_how, change, outcome, code) => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec(change));
    for await (const event of client.jobs.events(jobId)) if (event.type === 'message' || event.type === 'tool') break;
    const [key] = (await client.jobs.status(jobId)).keys;
    if (key === undefined) throw new Error('a job that runs has no key');

    expect(await statusWith(stack(), secretOf(stack(), key.ref))).toBe(200);
    if (outcome === 'cancelled') await client.jobs.cancel(jobId);

    const over = new AbortController();
    const ended = expectEnded(stack(), jobId, { outcome, code }).finally(() => over.abort());
    const lastAcceptedMs = await acceptedUntil(secretOf(stack(), key.ref), over.signal);
    expect(lastAcceptedMs).toBeLessThan(Date.parse((await ended).endedAt));
  });
});

test('a key has its end at the gateway from the start: five minutes after the deadline of its job', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ deadline: '90s' }));
  const { startedAt } = await client.jobs.result(jobId);
  const ends: number[] = [];
  for await (const event of client.jobs.events(jobId)) if (event.type === 'key.minted') ends.push(Date.parse(event.expiresAt));
  expect(ends.map((endMs) => endMs - Date.parse(startedAt))).toEqual([(90 + 300) * 1000]);
});

describe('at the gateway', () => {
  let database: Database;
  let context: KeyContext;
  beforeAll(() => {
    const { config } = stack();
    database = openDatabase(String(config.databaseUrl));
    const { db } = database;
    const { rootKey, gateway } = config;
    if (rootKey === undefined) throw new Error('the stack has no root key');
    const gateways = createGateways({
      builtin: { db, socketPath: gateway.socketPath },
      owner: 'default/tests',
      outbound: gateway.outbound,
    });
    context = {
      db,
      gateways,
      sealUpstreamKey: () => Promise.reject(new Error('nothing is sealed')),
      openUpstreamKey: () => Promise.reject(new Error('nothing is sealed')),
      rootKeys: createRootKeys(rootKey),
      owner: 'default/tests',
      leaseMs: 120_000,
      metrics: createKeyMetrics(noopMetricMeter),
    };
  });
  afterAll(() => database.close());

  test('a key that nobody ends is dead by itself when its time is up', async () => {
    const key = await mint({ livesMs: 3_000 });
    expect(await statusWith(stack(), secretOf(stack(), key.ref))).toBe(200);
    await vi.waitFor(async () => expect(await statusWith(stack(), secretOf(stack(), key.ref))).toBe(401), { timeout: 10_000 });
    expect(Date.now()).toBeGreaterThanOrEqual(key.hardExpiresAt.getTime());
  });

  test('a key whose time is up in mid-stream cuts the stream', async () => {
    const key = await mint({ livesMs: 3_000 });
    const answer = await stream(secretOf(stack(), key.ref));
    await expect(answer.text()).rejects.toThrow('terminated');
    expect(Date.now() - key.hardExpiresAt.getTime()).toBeLessThan(10_000);
  });

  // Twice, 2 s apart: what the gateway looks up every 5 s can end one of two streams in time by chance, never both.
  test('a key that is disabled in mid-stream cuts the stream at once, and the caller’s next request is refused', async () => {
    for (const pauseMs of [2_000, 0]) {
      const key = await mint({});
      const answer = await stream(secretOf(stack(), key.ref));
      const paused = sleep(pauseMs);
      const disabledMs = Date.now();
      await endKey(context, key, 'job');
      await expect(answer.text()).rejects.toThrow('terminated');
      expect(Date.now() - disabledMs).toBeLessThan(2_000);
      expect(await statusWith(stack(), secretOf(stack(), key.ref))).toBe(401);
      await paused;
    }
  });

  test('a key that has ended is never minted again', async () => {
    const key = await mint({});
    await endKey(context, key, 'job');
    await expect(mintKey(context, key, [])).rejects.toMatchObject({ code: 'key_ended' });
    await expect(renewSessionKey(context, key.jobId)).rejects.toMatchObject({ code: 'key_ended' });
    expect(await statusWith(stack(), secretOf(stack(), key.ref))).toBe(401);
  });

  test('a key whose end comes before its mint is never minted', async () => {
    const key = wantedKey();
    await endKey(context, key, 'job');
    await expect(mintKey(context, key, [])).rejects.toMatchObject({ code: 'key_ended' });
    expect(await statusWith(stack(), secretOf(stack(), key.ref))).toBe(401);
  });

  async function mint({ livesMs = 600_000 }: { livesMs?: number }): Promise<MintParams> {
    const key = { ...wantedKey(livesMs), models: [MODEL] };
    await mintKey(context, key, []);
    return key;
  }
});

/** Tries a key again and again. Resolves to when it was accepted last, epoch ms. */
async function acceptedUntil(secret: string, over: AbortSignal): Promise<number> {
  let lastMs = 0;
  while (!over.aborted) {
    const askedMs = Date.now();
    if ((await statusWith(stack(), secret)) === 200) lastMs = askedMs;
    await sleep(10);
  }
  return lastMs;
}

/** An answer of a minute that has begun. */
async function stream(secret: string): Promise<Response> {
  const answer = await fetch(`${stack().gatewayUrl}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${secret}` },
    body: JSON.stringify({ model: MODEL, stream: true, input: slowly(60) }),
  });
  expect(answer.status).toBe(200);
  return answer;
}
