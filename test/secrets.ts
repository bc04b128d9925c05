import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Client, Connection } from '@temporalio/client';

import type { Stack } from '../src/dev/stack.ts';
import { openDatabase } from '../src/store/database.ts';
import { secretOf } from './ended.ts';

/** Every secret that a stack knew: its root key, the providers' credentials, and each key that was ever minted. */
export async function mintedSecrets({ config }: Pick<Stack, 'config'>): Promise<string[]> {
  const { rootKey, databaseUrl, gateway } = config;
  if (rootKey === undefined || databaseUrl === undefined) throw new Error('the stack has no root key or no database');
  const database = openDatabase(databaseUrl);
  const refs = await database.db.selectFrom('keys').select('ref').execute();
  await database.close();
  const upstream = [gateway.anthropic.credential, gateway.openai.credential].filter((secret) => secret !== undefined);
  return [...[rootKey, ...upstream].map((secret) => secret.reveal()), ...refs.map(({ ref }) => secretOf({ config }, ref))];
}

/** Where a secret, plain or in base64, stands in what a stack left: Temporal's histories, memos and attributes, the log, the store. */
export async function findSecrets(stack: Stack, secrets: readonly string[]): Promise<string[]> {
  const needles = secrets.flatMap((secret) => [secret, ...base64Of(secret)]);
  const found: string[] = [];
  for (const [place, text] of [...(await histories(stack)), ...(await store(stack)), ...(await log(stack))]) {
    if (needles.some((needle) => text.includes(needle))) found.push(place);
  }
  return found;
}

/** A text inside base64 shows in one of three ways, by where it begins; the ends that hang on neighbours are cut off. */
export function base64Of(text: string): string[] {
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.from(`${' '.repeat(shift)}${text}`)
      .toString('base64')
      .replace(/=+$/, '');
    return encoded.slice(shift === 0 ? 0 : shift + 1, -2);
  });
}

/** Every event of every run of the stack's task queue, payloads decoded, and what `describe` tells. */
async function histories({ config, temporal: { address, namespace } }: Stack): Promise<[string, string][]> {
  const connection = await Connection.connect({ address });
  const client = new Client({ connection, namespace });
  const texts: [string, string][] = [];
  for await (const { workflowId, runId } of client.workflow.list({ query: `TaskQueue = '${config.taskQueue}'` })) {
    const handle = client.workflow.getHandle(workflowId, runId);
    const [history, description] = await Promise.all([handle.fetchHistory(), handle.describe()]);
    texts.push([`history of ${workflowId}`, readable(history)], [`description of ${workflowId}`, readable(description.raw)]);
  }
  await connection.close();
  return texts;
}

/** JSON in which bytes, those of payloads for example, are the text that they are. */
function readable(value: unknown): string {
  return JSON.stringify(textual(value)) ?? '';
}

function textual(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (Array.isArray(value)) return value.map(textual);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, textual(part)]));
}

async function store({ config: { databaseUrl = '' } }: Stack): Promise<[string, string][]> {
  const database = openDatabase(databaseUrl);
  const [events, settlements, artifacts] = await Promise.all([
    database.db.selectFrom('events').selectAll().execute(),
    database.db.selectFrom('settlements').selectAll().execute(),
    database.db.selectFrom('artifacts').selectAll().execute(),
  ]);
  await database.close();
  return [
    ['events', readable(events)],
    ['settlements', readable(settlements)],
    ['artifacts', artifacts.map(({ content }) => content.toString()).join('\n')],
  ];
}

async function log({ config }: Stack): Promise<[string, string][]> {
  return [['log', await readFile(join(config.stateDir, 'log.jsonl'), 'utf8')]];
}
