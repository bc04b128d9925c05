// Jobs whose keys a real LiteLLM mints: our proxy is in front of it, as in front of a provider, and the sandbox holds the job's own key.
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';
import { afterAll, expect, test } from 'vitest';
import { z } from 'zod';

import { startScriptedModel, type ScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { createRootKeys } from '../../src/keys/derive.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { expectEnded, statusWith } from '../helpers/ended.ts';
import { startLiteLlm, type LiteLlm } from '../helpers/litellm/litellm.ts';
import { inMidTurn } from '../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { startSwitch } from '../helpers/switch.ts';

const CREDENTIAL = { strategy: 'gateway', gateway: 'litellm' } as const;
const GPT = { upstream: 'openai', inputUsdPerMillion: 1.25, outputUsdPerMillion: 10 } as const;

const model: ScriptedModel = await startScriptedModel();
const litellm: LiteLlm = await startLiteLlm({
  openaiUrl: `${model.baseUrl}/v1`,
  anthropicUrl: model.baseUrl,
  models: [
    { ...GPT, name: 'gpt-5.1-codex', upstreamModel: 'gpt-5.1-codex' },
    {
      name: 'claude-sonnet-4-6',
      upstream: 'anthropic',
      upstreamModel: 'claude-sonnet-4-6',
      inputUsdPerMillion: 3,
      outputUsdPerMillion: 15,
    },
  ],
});
const line = await startSwitch(litellm.url);
const sealing = await generateSealingKey();
const stack = useStack({
  environment: {
    VALETKEY_SEALING_KEY: sealing.privateKey,
    VALETKEY_LITELLM_BASE_URL: line.url,
    LITELLM_MASTER_KEY: litellm.masterKey,
    VALETKEY_SWEEP_INTERVAL: '2s',
  },
});
afterAll(async () => {
  await line.close();
  await litellm.close();
  await model.close();
});

const logsSchema = z.object({ data: z.array(z.object({ spend: z.number(), status: z.string().nullish() })) });
const listSchema = z.object({
  keys: z.array(z.object({ token: z.string(), key_alias: z.string().nullable(), team_id: z.string().nullable() })),
});

async function ask(path: string, body?: object): Promise<unknown> {
  const headers = { authorization: `Bearer ${litellm.masterKey}`, 'content-type': 'application/json' };
  const response = await fetch(`${litellm.url}${path}`, {
    headers,
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
  return response.json();
}

/** The job's keys that LiteLLM has. */
async function keysOf(jobId: string): Promise<{ token: string; team_id: string | null }[]> {
  const { keys } = listSchema.parse(await ask('/key/list?return_full_object=true&size=100'));
  return keys.filter(({ key_alias: alias }) => alias?.includes(`/${jobId}/`) === true);
}

test.concurrent.for(['codex', 'claude', 'opencode', 'qwen', 'mock'] as const)(
  'a job of %s runs through it, is settled to its figure, and its key is gone',
  async (agent) => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec({ agent, credential: CREDENTIAL, keepOpen: '3s' }));
    await expect
      .poll(async () => keysOf(jobId), { interval: 200 })
      .toMatchObject([{ team_id: expect.stringMatching(/\/acme$/) as unknown }]);
    const [key] = await keysOf(jobId);
    const { turns, usage } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(turns).toHaveLength(1);
    expect(await keysOf(jobId)).toEqual([]);
    const range = 'start_date=2020-01-01%2000%3A00%3A00&end_date=2099-01-01%2000%3A00%3A00&page_size=100';
    const { data } = logsSchema.parse(await ask(`/spend/logs/v2?api_key=${key?.token}&${range}`));
    const spent = data.reduce((sum, { spend }) => sum + spend, 0);
    expect(spent).toBeGreaterThan(0);
    expect(usage?.usd).toBeCloseTo(spent, 9);
  },
);

test.concurrent.for(['codex', 'claude'] as const)(
  'a job of %s whose sandbox holds the key of LiteLLM itself runs through it',
  async (agent) => {
    const { client, config } = stack();
    const credential = { ...CREDENTIAL, delivery: 'direct' } as const;
    const { jobId } = await client.jobs.submit(jobSpec({ agent, credential, keepOpen: '3s' }));
    await expect.poll(async () => (await client.jobs.status(jobId)).phase, { interval: 100 }).toBe('waiting');
    const { items } = await client.keys.list({ jobId });
    expect(items).toMatchObject([{ gateway: 'litellm', delivery: 'direct' }]);
    const ref = items[0]?.ref ?? 'none/none/1';
    const rootKeys = createRootKeys(config.rootKey ?? new Secret(''));
    const [own, delivered] = [rootKeys.derive(rootKeys.currentId, ref), rootKeys.deriveUpstream(rootKeys.currentId, ref)];
    expect(await statusWith(stack(), own.reveal())).toBe(401);
    expect(await statusWith(stack(), delivered.reveal())).toBe(200);
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(await statusWith(stack(), delivered.reveal())).toBe(401);
    expect(await statusWith({ ...stack(), gatewayUrl: litellm.url }, delivered.reveal())).toBe(401);
  },
);

test('a job that is terminated has its key ended there, too', async () => {
  const jobId = await inMidTurn(stack(), 120, { agent: 'mock', credential: CREDENTIAL });
  expect(await keysOf(jobId)).toHaveLength(1);
  const connection = await Connection.connect({ address: stack().temporal.address });
  await new Client({ connection, namespace: stack().temporal.namespace }).workflow.getHandle(jobId).terminate();
  await connection.close();
  await expect.poll(async () => keysOf(jobId)).toEqual([]);
});

test('a key that somebody deletes there fails its job with what names the key', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', credential: CREDENTIAL, keepOpen: '2m' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  const [key] = await keysOf(jobId);
  await ask('/key/delete', { keys: [key?.token] });
  await client.jobs.prompt(jobId, 'say hello');
  const { failure } = await client.jobs.result(jobId);
  expect(failure?.code).toBe('llm_unauthorized');
  expect(failure?.message).toContain('the key that LiteLLM minted for the job');
});

test('a job whose budget LiteLLM has for spent ends so', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', credential: CREDENTIAL, keepOpen: '2m' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  const [key] = await keysOf(jobId);
  await ask('/key/update', { key: key?.token, max_budget: 0 });
  await client.jobs.prompt(jobId, 'say hello');
  expect((await client.jobs.result(jobId)).failure?.code).toBe('budget_exhausted');
});

test('with LiteLLM away a mint waits for it, and an end goes on until it is back', async () => {
  const { client } = stack();
  line.cut();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', credential: CREDENTIAL, keepOpen: '2m' }));
  await sleep(3_000);
  line.restore();
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  line.cut();
  await client.jobs.cancel(jobId);
  await sleep(5_000);
  expect(await keysOf(jobId)).toHaveLength(1);
  line.restore();
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
  expect(await keysOf(jobId)).toEqual([]);
});

test('a gateway that no worker has is refused when the job is submitted', async () => {
  const credential = { strategy: 'gateway', gateway: 'portkey' } as const;
  await expect(stack().client.jobs.submit(jobSpec({ credential }))).rejects.toMatchObject({ code: 'gateway_not_configured' });
});
