import { z } from 'zod';

import type { Place } from './place.ts';
import type { Run } from './temporal.ts';

const pageSchema = z.looseObject({ nextPageToken: z.string().optional() });

/** The JSON that Temporal's UI asks for: its lists, and the page of each run. */
export async function uiTexts(uiUrl: string, namespace: string, query: string, runs: readonly Run[]): Promise<Place[]> {
  const base = `${uiUrl}/api/v1/namespaces/${namespace}`;
  const paths = runs.flatMap(({ workflowId, runId }) => {
    const path = `/workflows/${encodeURIComponent(workflowId)}`;
    const run = `execution.runId=${runId}`;
    return [`${path}?${run}`, `${path}/history?${run}`];
  });
  const lists = [`/workflows?query=${encodeURIComponent(query)}`, '/schedules?'];
  return Promise.all([...lists, ...paths].map(async (path): Promise<Place> => [`UI ${path.split('?')[0]}`, await pages(base + path)]));
}

async function pages(url: string): Promise<string> {
  let [all, token] = ['', ''];
  do {
    const response = await fetch(`${url}&nextPageToken=${encodeURIComponent(token)}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`Temporal's UI: HTTP ${response.status}`);
    all += text;
    token = pageSchema.parse(JSON.parse(text)).nextPageToken ?? '';
  } while (token !== '');
  return all;
}
