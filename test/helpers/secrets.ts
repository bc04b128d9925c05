import { appendFile } from 'node:fs/promises';

import { expect, inject } from 'vitest';

import { secretsOf } from '../../src/config/secrets.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { deriveSecret } from '../../src/keys/derive.ts';
import { openKeyring } from '../../src/secrets/keyring.ts';
import { openDatabase } from '../../src/store/database.ts';
import { fileTexts } from '../secret-scan/files.ts';
import { logTexts } from '../secret-scan/log.ts';
import { searchFor } from '../secret-scan/needles.ts';
import type { Place } from '../secret-scan/place.ts';
import { listProcesses, processTexts } from '../secret-scan/processes.ts';
import { seenTexts } from '../secret-scan/seen.ts';
import { storeTexts } from '../secret-scan/store.ts';
import { connectTo, detailTexts, listRuns, runTexts, scheduleTexts } from '../secret-scan/temporal.ts';
import { uiTexts } from '../secret-scan/ui.ts';

/** Fails where something that a stack left holds a secret; keeps its secrets for the look at the end of the test run. */
export async function expectNoSecrets(stack: Stack): Promise<void> {
  const secrets = await mintedSecrets(stack);
  await appendFile(inject('secretsFile'), secrets.map((secret) => `${secret}\n`).join(''), { mode: 0o600 });
  expect(await findSecrets(stack, secrets), 'places that hold a secret').toEqual([]);
}

/** Every secret that a stack knew: all that is configured, the password of its Postgres too, and each key that was ever minted. */
export async function mintedSecrets({ config }: Pick<Stack, 'config'>): Promise<string[]> {
  const { rootKeys, sealingKeys } = openKeyring(config, () => {});
  const database = openDatabase(config.databaseUrl ?? '');
  const refs = await database.db.selectFrom('keys').select('ref').execute();
  await database.close();
  return [
    // A variable can hold several.
    ...secretsOf(config).flatMap((secret) => secret.reveal().split(/[\s,]+/)),
    ...rootKeys.map(({ key }) => key.export().toString('base64')),
    ...sealingKeys.map(({ d }) => d),
    ...refs.flatMap(({ ref }) => rootKeys.map(({ key }) => deriveSecret(key, ref).reveal())),
  ];
}

/** Where a secret, in any of the forms of `searchFor`, stands in what a stack left and in what this test file saw. */
export async function findSecrets(stack: Stack, secrets: readonly string[]): Promise<string[]> {
  const holdsSecret = searchFor(secrets);
  const found = new Set<string>();
  for await (const [place, text] of textsOf(stack)) if (holdsSecret(text)) found.add(place);
  return [...found];
}

async function* textsOf({ config, temporal }: Stack): AsyncGenerator<Place> {
  const { stateDir, databaseUrl = '', taskQueue, deployment } = config;
  const client = await connectTo(temporal);
  try {
    const query = `TaskQueue = '${taskQueue}'`;
    const runs = await listRuns(client, query);
    const running = runs.filter(({ isRunning }) => isRunning);
    yield* runTexts(client, runs);
    yield* await detailTexts(client, running);
    yield* scheduleTexts(client, `valetkey-${deployment}-`);
    if (temporal.uiUrl !== null) yield* await uiTexts(temporal.uiUrl, temporal.namespace, query, runs);
    yield* await fileTexts(stateDir, new Set(running.map(({ workflowId }) => workflowId)));
  } finally {
    await client.connection.close();
  }
  yield* await storeTexts(databaseUrl);
  yield* await logTexts(stateDir);
  if (config.metricsAddress !== undefined) yield ['metrics', await metrics(config.metricsAddress)];
  yield* processTexts(listProcesses(`${stateDir}/jobs`));
  yield* seenTexts();
}

/** Nothing where the worker is gone. */
async function metrics(address: string): Promise<string> {
  const response = await fetch(`http://${address}/metrics`).catch(() => null);
  return response === null ? '' : response.text();
}
