import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import type pg from 'pg';

import { untyped } from '../../untyped.ts';
import type { ParseGraphQl } from './graphql.ts';

/** Prisma's engine: each call takes and answers JSON as text. */
export interface QueryEngine {
  connect(trace: string): Promise<void>;
  query(body: string, trace: string, transaction?: string): Promise<string>;
  startTransaction(options: string, trace: string): Promise<string>;
  commitTransaction(id: string, trace: string): Promise<string>;
  rollbackTransaction(id: string, trace: string): Promise<string>;
}

interface Runtime {
  __wbg_set_wasm(exports: unknown): void;
  QueryEngine: new (options: object, log: (line: string) => void, adapter: unknown) => QueryEngine;
}

declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: unknown } }>;
};

/** The packages in `QUERY_ENGINE_MODULES`, which are no dependencies of this repository. */
const modules = process.env['QUERY_ENGINE_MODULES'] ?? '';
const load = createRequire(join(modules, 'index.js'));

export const { parse }: { parse: ParseGraphQl } = untyped(load('graphql'));

/** Prisma's engine as WebAssembly on a pool of connections. */
export async function openEngine(schema: string, databaseUrl: string): Promise<QueryEngine> {
  const runtime: Runtime = untyped(load('@prisma/client/runtime/query_engine_bg.postgresql.js'));
  const wasm = await readFile(join(modules, '@prisma/client/runtime/query_engine_bg.postgresql.wasm'));
  const { instance } = await WebAssembly.instantiate(wasm, { './query_engine_bg.js': runtime });
  runtime.__wbg_set_wasm(instance.exports);
  const { PrismaPg }: { PrismaPg: new (pool: pg.Pool) => object } = untyped(load('@prisma/adapter-pg'));
  const { bindAdapter }: { bindAdapter: (adapter: object) => object } = untyped(load('@prisma/driver-adapter-utils'));
  const options = { datamodel: schema, logLevel: 'error', logQueries: false, ignoreEnvVarErrors: true, datasourceOverrides: {} };
  const engine = new runtime.QueryEngine(
    { ...options, env: process.env, configDir: '.', engineProtocol: 'json' },
    (line) => process.stderr.write(`${line}\n`),
    bindAdapter(new PrismaPg(openPool(databaseUrl))),
  );
  await engine.connect('{}');
  return engine;
}

const DEFAULT_CONNECTIONS = 10;
/** Of Prisma's URLs: Postgres takes these for names of settings. */
const PRISMA_PARAMETERS = ['connection_limit', 'pool_timeout', 'connect_timeout', 'socket_timeout', 'schema', 'pgbouncer'];

function openPool(databaseUrl: string): pg.Pool {
  const { Pool, Result }: typeof pg & { Result: ResultClass } = untyped(load('pg'));
  readCatalogTypesAsText(Result);
  const url = new URL(databaseUrl);
  const max = Number(url.searchParams.get('connection_limit') ?? DEFAULT_CONNECTIONS);
  for (const parameter of PRISMA_PARAMETERS) url.searchParams.delete(parameter);
  const pool = new Pool({ connectionString: url.href, max, options: '-c TimeZone=UTC' });
  pool.on('error', () => {});
  return pool;
}

/** The types `"char"`, `name` and `name[]` of Postgres' catalog, which LiteLLM reads and the adapter refuses, as text and text[]. */
const TEXT_TYPES = new Map([
  [18, 25],
  [19, 25],
  [1003, 1009],
]);

interface ResultClass {
  prototype: { addFields: (this: unknown, fields: { dataTypeID: number }[]) => void };
}

function readCatalogTypesAsText({ prototype }: ResultClass): void {
  const { addFields } = prototype;
  prototype.addFields = function (fields) {
    for (const field of fields) field.dataTypeID = TEXT_TYPES.get(field.dataTypeID) ?? field.dataTypeID;
    addFields.call(this, fields);
  };
}
