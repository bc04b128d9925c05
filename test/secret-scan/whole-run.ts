import { readFile } from 'node:fs/promises';

import { searchFor } from './needles.ts';
import type { Place } from './place.ts';
import { connectTo, listRuns, runTexts, scheduleTexts } from './temporal.ts';

/** Where a secret stands in a namespace of Temporal: in any run of any workflow, whatever its task queue, or in a schedule. */
export async function findInNamespace(temporal: { address: string; namespace: string }, secrets: readonly string[]): Promise<string[]> {
  const holdsSecret = searchFor(secrets);
  const client = await connectTo(temporal);
  const found: string[] = [];
  const look = ([place, text]: Place): void => void (holdsSecret(text) && found.push(place));
  for await (const place of runTexts(client, await listRuns(client, ''))) look(place);
  for await (const place of scheduleTexts(client, '')) look(place);
  await client.connection.close();
  return found;
}

/** The secrets in a file, one a line; none where it is not there. */
export async function registeredSecrets(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return [...new Set(text.split('\n').filter((line) => line !== ''))];
}
