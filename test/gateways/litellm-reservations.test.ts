// A LiteLLM that reserves budgets, as it does by default: it takes the most that a request can cost from the key's budget before it calls
// the model, and refuses others meanwhile as if the budget were spent. Our proxy in front of it lets nobody see that.
import { afterAll, expect, test } from 'vitest';
import { z } from 'zod';

import { withScript } from '../../src/dev/scripted-model/script.ts';
import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { secretOf } from '../helpers/ended.ts';
import { startLiteLlm } from '../helpers/litellm/litellm.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';

const MODEL = 'gpt-5.1-codex';
const listSchema = z.object({ keys: z.array(z.object({ token: z.string(), key_alias: z.string().nullable() })) });
const PARALLEL = 8;
/** A hundred times ours, so that LiteLLM reserves more than our proxy does, which would else queue the requests before it. */
const LITELLM_OUTPUT_PRICE = 1000;

const model = await startScriptedModel();
const litellm = await startLiteLlm({
  openaiUrl: `${model.baseUrl}/v1`,
  anthropicUrl: model.baseUrl,
  models: [{ name: MODEL, upstream: 'openai', upstreamModel: MODEL, inputUsdPerMillion: 1.25, outputUsdPerMillion: LITELLM_OUTPUT_PRICE }],
  reservesBudget: true,
});
const sealing = await generateSealingKey();
const stack = useStack({
  environment: {
    VALETKEY_SEALING_KEY: sealing.privateKey,
    VALETKEY_LITELLM_BASE_URL: litellm.url,
    LITELLM_MASTER_KEY: litellm.masterKey,
  },
});
afterAll(async () => {
  await litellm.close();
  await model.close();
});

/** A job that waits for a prompt while the test makes requests with its key. */
async function openKey(): Promise<{ jobId: string; key: string }> {
  const { client } = stack();
  const credential = { strategy: 'gateway', gateway: 'litellm' } as const;
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', model: MODEL, credential, budgetUsd: 0.2, keepOpen: '4m' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  const [held] = (await client.jobs.status(jobId)).keys;
  if (held === undefined) throw new Error('the job has no key');
  return { jobId, key: secretOf(stack(), held.ref) };
}

async function request(base: string, key: string, seconds: number, maxTokens: number | null): Promise<Response> {
  const input = withScript('Take your time.', [{ slow: { chunks: seconds * 2, everyMs: 500, text: 'word '.repeat(seconds * 2) } }]);
  const limit = maxTokens === null ? {} : { max_output_tokens: maxTokens };
  const response = await fetch(`${base}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: MODEL, input, stream: true, ...limit }),
  });
  await response.clone().text();
  return response;
}

test('LiteLLM itself refuses requests at once for which there is money', async () => {
  const key = `sk-${crypto.randomUUID()}`;
  const headers = { authorization: `Bearer ${litellm.masterKey}`, 'content-type': 'application/json' };
  await fetch(`${litellm.url}/key/generate`, { method: 'POST', headers, body: JSON.stringify({ key, max_budget: 0.2 }) });
  const answers = await Promise.all(Array.from({ length: PARALLEL }, async () => request(litellm.url, key, 2, null)));
  expect(answers.map(({ status }) => status)).toContain(422);
});

test.for([
  ['eight requests', PARALLEL, 1],
  ['two requests, each longer than all retries together,', 2, 25],
] as const)('%s of one key at once with money for all are all answered', async ([, count, seconds]) => {
  const { jobId, key } = await openKey();
  const all = Array.from({ length: count }, async () => request(stack().gatewayUrl, key, seconds, 1000));
  expect((await Promise.all(all)).map(({ status }) => status)).toEqual(all.map(() => 200));
  await stack().client.jobs.cancel(jobId);
});

test('a key whose budget is really spent is refused with budget_exhausted, and its request waits for nobody', async () => {
  const { jobId, key } = await openKey();
  const list = await fetch(`${litellm.url}/key/list?return_full_object=true&size=100`, {
    headers: { authorization: `Bearer ${litellm.masterKey}` },
  });
  const { keys } = listSchema.parse(await list.json());
  const token = keys.find(({ key_alias: alias }) => alias?.includes(jobId) === true)?.token;
  await fetch(`${litellm.url}/key/update`, {
    method: 'POST',
    headers: { authorization: `Bearer ${litellm.masterKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ key: token, max_budget: 0 }),
  });
  const refused = await request(stack().gatewayUrl, key, 1, 1000);
  expect(refused.status).toBe(402);
  expect(await refused.text()).toContain('budget_exhausted');
  await stack().client.jobs.cancel(jobId);
});
