import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, expect, inject, test } from 'vitest';

import { checkModel } from '../../src/client/check-model.ts';
import { editDistance } from '../../src/client/edit-distance.ts';
import { createClient, type ValetkeyClient } from '../../src/index.ts';
import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { listPricedModelNames, syncPricedModels } from '../../src/store/priced-models.ts';
import { newDatabase } from '../helpers/database.ts';
import { jobSpec } from '../helpers/stack.ts';
import { OF_GATEWAY } from '../helpers/stored-credential.ts';

const NOWHERE = 'postgres://nobody@127.0.0.1:1/none';

let url: string;
let database: Database;
let client: ValetkeyClient;

beforeAll(async () => {
  url = await newDatabase();
  database = openDatabase(url);
  await migrate(database);
  const { address, namespace } = inject('temporal');
  client = await createClient({ databaseUrl: url, taskQueue: `test-${randomUUID()}`, temporal: { address, namespace } });
});

afterAll(async () => {
  await client.close();
  await database.close();
});

const qwen = { dialect: 'openai', name: 'qwen3-coder', inputUsdPerMillion: 1, outputUsdPerMillion: 4 } as const;

test.each([
  ['codex', 'gpt-5.1-codex'],
  ['mock', 'gpt-5.1'],
  ['claude', 'claude-haiku-4-5-20251001'],
] as const)('%s with %s is known without a look at Postgres', async (agent, model) => {
  const away = openDatabase(NOWHERE);
  await expect(checkModel(away, { agent, model, credential: OF_GATEWAY })).resolves.toBeUndefined();
  await away.close();
});

test.each([
  ['codex', 'gpt-5.1-codx', ['gpt-5.1-codex']],
  ['mock', 'gpt-51', ['gpt-5-1', 'gpt-5.1']],
  ['claude', 'claude-sonet-4-6', ['claude-sonnet-4-6']],
  ['claude', 'gpt-5.1', []],
  ['opencode', 'claude-sonnet-4-6', []],
] as const)('%s with %s is refused, with the nearest names of its dialect', async (agent, model, nearest) => {
  const refused = checkModel(database, { agent, model, credential: OF_GATEWAY });
  await expect(refused).rejects.toMatchObject({ code: 'model_unpriced', issues: [{ path: 'model' }] });
  await expect(refused).rejects.toThrow(`The price of the model ${model} is unknown.`);
  await expect(refused).rejects.toThrow(/The nearest names are [^,]+, [^,]+, [^,]+; "valetkey models" lists all\.$/);
  for (const name of nearest) await expect(refused).rejects.toThrow(name);
});

test('an unknown model cannot be checked while Postgres is away', async () => {
  const away = openDatabase(NOWHERE);
  await expect(checkModel(away, { agent: 'mock', model: 'qwen3-coder', credential: OF_GATEWAY })).rejects.toMatchObject({
    code: 'database_unreachable',
  });
  await away.close();
});

test('a submitted job whose model has no price is refused before it starts', async () => {
  const spec = jobSpec({ agent: 'mock', model: 'a-model-of-tomorrow' });
  await expect(client.jobs.submit(spec, { id: 'job-unpriced' })).rejects.toMatchObject({ code: 'model_unpriced' });
  await expect(client.jobs.status('job-unpriced')).rejects.toMatchObject({ code: 'job_not_found' });
});

test('a model of the gateways’ price files is known, in its dialect, until they no longer hold it', async () => {
  await syncPricedModels(database.db, [qwen, { ...qwen, name: 'other' }]);
  await checkModel(database, { agent: 'qwen', model: 'qwen3-coder', credential: OF_GATEWAY });
  const ofPortkey = { strategy: 'gateway', gateway: 'portkey' } as const;
  await checkModel(database, { agent: 'qwen', model: '@my-slug/qwen3-coder', credential: ofPortkey });
  const named = checkModel(database, { agent: 'qwen', model: '@my-slug/qwen3-coder', credential: OF_GATEWAY });
  await expect(named).rejects.toMatchObject({ code: 'model_unpriced' });
  await expect(checkModel(database, { agent: 'claude', model: 'qwen3-coder', credential: OF_GATEWAY })).rejects.toMatchObject({
    code: 'model_unpriced',
  });
  await expect(checkModel(database, { agent: 'qwen', model: 'qwen3-codr', credential: OF_GATEWAY })).rejects.toThrow('qwen3-coder,');
  // Several gateways start at once.
  await Promise.all([1, 2, 3].map(() => syncPricedModels(database.db, [{ ...qwen, name: 'other' }])));
  expect(await listPricedModelNames(database.db, 'openai')).toEqual(['other']);
  await expect(checkModel(database, { agent: 'qwen', model: 'qwen3-coder', credential: OF_GATEWAY })).rejects.toMatchObject({
    code: 'model_unpriced',
  });
  await syncPricedModels(database.db, []);
  expect(await listPricedModelNames(database.db, 'openai')).toEqual([]);
});

test.each([
  ['', '', 0],
  ['abc', '', 3],
  ['', 'ab', 2],
  ['kitten', 'sitting', 3],
  ['gpt-5.1', 'gpt-51', 1],
])('%j and %j are %d edits apart', (from, to, edits) => {
  expect(editDistance(from, to)).toBe(edits);
});
