import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { expect, test } from 'vitest';

const histories = new URL('histories/', import.meta.url);
const workflowsPath = fileURLToPath(new URL('../../src/workflows/index.ts', import.meta.url));

/** `node scripts/record-histories.ts` records them. */
test('the workflow goes on with every history that was recorded', async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const names = (await readdir(histories)).filter((name) => name.endsWith('.json'));
  expect(names.length).toBeGreaterThan(0);
  const recorded = names.map(async (workflowId) => ({
    workflowId,
    history: historyFromJSON(JSON.parse(await readFile(new URL(workflowId, histories), 'utf8'))),
  }));
  const results: [string, string | null][] = [];
  for await (const { workflowId, error } of Worker.runReplayHistories({ workflowsPath }, await Promise.all(recorded))) {
    results.push([workflowId, error?.message ?? null]);
  }
  expect(results).toEqual(names.map((name) => [name, null]));
});
