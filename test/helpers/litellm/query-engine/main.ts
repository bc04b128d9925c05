import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

import { z } from 'zod';

import { untyped } from '../../untyped.ts';
import { openEngine, parse } from './engine.ts';
import { toClient, type Answer } from './results.ts';
import { datasourceName, forDriverAdapters, parseModels } from './schema.ts';
import { translate, type Json, type Operation } from './translate.ts';

/** For tracing, which is not in use. */
const TRACE = '{}';

const querySchema = z.object({ query: z.string() });
const batchSchema = z.object({ batch: z.array(querySchema), transaction: z.boolean().default(false) });
const bodySchema = z.union([batchSchema, querySchema]);
const startSchema = z.looseObject({ max_wait: z.number().default(2_000), timeout: z.number().default(5_000) });
const resultSchema = z.looseObject({ error_code: z.string().optional(), message: z.string().optional() });
const datasourcesSchema = z.array(z.object({ name: z.string(), url: z.string() }));

type Query = z.infer<typeof querySchema>;
type Batch = z.infer<typeof batchSchema>;

/**
 * Stands in for Prisma's query engine, a program that is downloaded and not on npm: the HTTP interface that Prisma's Python client expects,
 * in front of the same engine as WebAssembly, which is on npm. Ends with the process that started it.
 */
const schema = await readFile(process.env['PRISMA_DML_PATH'] ?? '', 'utf8');
const models = parseModels(schema);
const engine = await openEngine(forDriverAdapters(schema), databaseUrl());

async function answer({ url = '', headers }: IncomingMessage, body: string): Promise<unknown> {
  const [path] = url.split('?');
  const [, id, end] = /^\/transaction\/([^/]+)\/(commit|rollback)$/.exec(path ?? '') ?? [];
  if (id !== undefined) {
    return transactionAnswer(await (end === 'commit' ? engine.commitTransaction(id, TRACE) : engine.rollbackTransaction(id, TRACE)));
  }
  switch (path) {
    case '/status':
      return { status: 'ok' };
    case '/transaction/start':
      return transactionAnswer(await engine.startTransaction(JSON.stringify(startSchema.parse(JSON.parse(body))), TRACE));
    case '/':
      return answerQuery(bodySchema.parse(JSON.parse(body)), headers['x-transaction-id']?.toString());
    default:
      throw new Error(`unknown path ${path}`);
  }
}

async function answerQuery(body: Query | Batch, transaction: string | undefined): Promise<Answer> {
  if ('batch' in body) return answerBatch(body, transaction);
  const data: { [alias: string]: Json } = {};
  for (const { alias, query } of operationsOf(body)) {
    const each = toClient(await run(query, transaction), alias);
    if (each.errors !== undefined) return each;
    Object.assign(data, each.data);
  }
  return { data };
}

async function answerBatch({ batch, transaction: isAtomic }: Batch, transaction: string | undefined): Promise<Answer> {
  const operations = batch.flatMap(operationsOf);
  const isolation = isAtomic ? { transaction: { isolationLevel: null } } : {};
  const result = await run({ batch: operations.map(({ query }) => query), ...isolation }, transaction);
  if (result.batchResult === undefined) return result;
  return { batchResult: result.batchResult.map((each, index) => toClient(each, operations[index]?.alias ?? '')) };
}

function operationsOf({ query }: Query): Operation[] {
  return translate(query, { parse, models });
}

async function run(body: object, transaction: string | undefined): Promise<Answer> {
  return untyped(JSON.parse(await engine.query(JSON.stringify(body), TRACE, transaction)));
}

/** An error comes bare from the engine, and the client wants it as that of a query. */
function transactionAnswer(json: string): unknown {
  const result = resultSchema.parse(JSON.parse(json || '{}'));
  return result.error_code === undefined ? result : { errors: [{ error: result.message, user_facing_error: result }] };
}

/** LiteLLM can name another database than that of the environment. */
function databaseUrl(): string {
  const named = datasourcesSchema.parse(JSON.parse(process.env['OVERWRITE_DATASOURCES'] ?? '[]'));
  return named.find(({ name }) => name === datasourceName(schema))?.url ?? process.env['DATABASE_URL'] ?? '';
}

function failure(error: unknown): unknown {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`query engine: ${message}\n`);
  return { errors: [{ error: message, user_facing_error: { is_panic: false, message, backtrace: null } }] };
}

const server = createServer((request, response) => {
  void text(request)
    .then((body) => answer(request, body))
    .catch(failure)
    .then((result) => response.setHeader('content-type', 'application/json').end(JSON.stringify(result)));
});
// The client keeps its connections for as long as it likes.
server.keepAliveTimeout = 0;
const { values } = parseArgs({ options: { port: { type: 'string', short: 'p' } }, strict: false });
server.listen(Number(values.port), '127.0.0.1');

const PARENT_POLL_MS = 500;
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit();
}, PARENT_POLL_MS);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit());
