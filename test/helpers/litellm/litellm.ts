import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import pg from 'pg';

import { startPostgres } from '../../../src/dev/postgres.ts';
import { freePort, poll, startServer, type ServerProcess } from '../../../src/dev/process.ts';
import { shellQuote } from '../../../src/system/shell-quote.ts';
import { overTcp } from '../over-tcp.ts';
import { provideLiteLlm, tail, type Installation } from './install.ts';

export interface LiteLlm {
  /** Without a slash at its end; the protocols are below `/v1`. */
  url: string;
  masterKey: string;
  /** The proxy's log, which is gone after `close`. */
  log: string;
  /** Of the process that runs all of its own, and of its database. */
  pids: { proxy: number; postgres: number };
  /** Ends its processes and removes its database and its files. Idempotent. */
  close(): Promise<void>;
}

export interface LiteLlmModel {
  /** As the client names it. */
  name: string;
  upstream: 'openai' | 'anthropic';
  /** As the upstream names it. */
  upstreamModel: string;
  inputUsdPerMillion: number;
  outputUsdPerMillion: number;
}

export interface LiteLlmOptions {
  /** Default: 1. Each takes some 0.8 GB of memory. */
  workers?: number;
  /** With `/v1`. */
  openaiUrl: string;
  /** Without `/v1`. */
  anthropicUrl: string;
  models: readonly LiteLlmModel[];
  /** Whether LiteLLM takes the most that a call can cost from the budget before the call. Default: false, which is not LiteLLM's own. */
  reservesBudget?: boolean;
}

/** LiteLLM writes what was spent this often. */
const SPEND_WRITE_INTERVAL_SECONDS = 2;
const START_TIMEOUT_MS = 240_000;

/**
 * Starts a real LiteLLM proxy with virtual keys on a free port of loopback, with a Postgres of its own; installs it first where it is not in
 * the cache. All of it ends with this process. Nothing leaves the machine but what goes to the upstreams.
 * @throws Error with the end of the proxy's log, where it does not start.
 */
export async function startLiteLlm(options: LiteLlmOptions): Promise<LiteLlm> {
  const installation = await provideLiteLlm();
  const folder = await mkdtemp(join(tmpdir(), 'valetkey-litellm-'));
  const closers = [() => rm(folder, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).toReversed()) await closer();
  };
  try {
    const postgres = await startPostgres();
    closers.push(() => postgres.stop());
    const databaseUrl = overTcp(await postgres.createDatabase('litellm'));
    await migrate(databaseUrl, installation.migrationsDir);
    const port = await freePort();
    const proxy = { url: `http://127.0.0.1:${port}`, masterKey: `sk-${randomBytes(24).toString('base64url')}`, log: join(folder, 'log') };
    const server = await launch(options, { ...proxy, installation, folder, port, databaseUrl });
    closers.push(() => server.stop());
    await untilReady(server, proxy, options.workers ?? 1);
    return { ...proxy, pids: { proxy: server.pid, postgres: postgres.pid }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** LiteLLM's own migrations need Prisma's schema engine, which is no WebAssembly. */
async function migrate(databaseUrl: string, migrationsDir: string): Promise<void> {
  const entries = await readdir(migrationsDir, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    for (const name of names.toSorted()) await client.query(await readFile(join(migrationsDir, name, 'migration.sql'), 'utf8'));
  } finally {
    await client.end();
  }
}

type ProxyAddress = Pick<LiteLlm, 'url' | 'masterKey' | 'log'>;

interface Launch extends ProxyAddress {
  installation: Installation;
  folder: string;
  port: number;
  databaseUrl: string;
}

async function launch(
  options: LiteLlmOptions,
  { installation, folder, port, databaseUrl, masterKey, log }: Launch,
): Promise<ServerProcess> {
  const config = join(folder, 'config.yaml');
  await writeFile(config, JSON.stringify(configOf(options, masterKey)), { mode: 0o600 });
  const { bin, queryEngine } = await writePrograms(folder);
  const args = ['--config', config, '--host', '127.0.0.1', '--port', String(port), '--num_workers', String(options.workers ?? 1)];
  return startServer({
    command: process.execPath,
    args: [join(import.meta.dirname, 'process-group.ts'), installation.litellm, ...args, '--timeout_worker_healthcheck', '120'],
    log,
    env: {
      // Nothing of this user's settings is read.
      HOME: folder,
      TMPDIR: folder,
      PATH: `${bin}:/usr/bin:/bin`,
      PYTHONUNBUFFERED: '1',
      DATABASE_URL: databaseUrl,
      DISABLE_SCHEMA_UPDATE: 'true',
      DISABLE_ADMIN_UI: 'True',
      LITELLM_TELEMETRY: 'False',
      // Each of these is read from the package, not from the Internet.
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS: 'True',
      LITELLM_LOCAL_AUTOROUTER_PRESETS: 'True',
      LITELLM_LOCAL_BLOG_POSTS: 'True',
      LITELLM_LOCAL_POLICY_TEMPLATES: 'True',
      PRISMA_QUERY_ENGINE_BINARY: queryEngine,
      QUERY_ENGINE_MODULES: installation.nodeModules,
    },
  });
}

/** JSON is YAML. */
function configOf({ models, openaiUrl, anthropicUrl, reservesBudget = false }: LiteLlmOptions, masterKey: string): object {
  return {
    model_list: models.map(({ name, upstream, upstreamModel, inputUsdPerMillion, outputUsdPerMillion }) => ({
      model_name: name,
      litellm_params: {
        model: `${upstream}/${upstreamModel}`,
        api_base: upstream === 'openai' ? openaiUrl : anthropicUrl,
        api_key: 'sk-upstream',
        input_cost_per_token: inputUsdPerMillion / 1e6,
        output_cost_per_token: outputUsdPerMillion / 1e6,
      },
    })),
    general_settings: {
      // In a file that only this user reads: tests look for it in the environments of all processes.
      master_key: masterKey,
      database_url: 'os.environ/DATABASE_URL',
      proxy_batch_write_at: SPEND_WRITE_INTERVAL_SECONDS,
      disable_budget_reservation: !reservesBudget,
    },
    litellm_settings: { drop_params: true },
  };
}

/** Prisma's two programs, as LiteLLM runs them. It compares the database with its schema by the first, and finds no difference. */
async function writePrograms(folder: string): Promise<{ bin: string; queryEngine: string }> {
  const bin = join(folder, 'bin');
  const queryEngine = join(bin, 'query-engine');
  const main = join(import.meta.dirname, 'query-engine/main.ts');
  await mkdir(bin);
  await writeFile(join(bin, 'prisma'), '#!/bin/sh\n', { mode: 0o755 });
  const script = ['#!/bin/sh', '[ "$1" = --version ] && exit', `exec ${shellQuote(process.execPath)} ${shellQuote(main)} "$@"`, ''];
  await writeFile(queryEngine, script.join('\n'), { mode: 0o755 });
  return { bin, queryEngine };
}

/** Each worker logs that it has started: the first one that answers is not all of them. */
async function untilReady(server: ServerProcess, { url, masterKey, log }: ProxyAddress, workers: number): Promise<void> {
  const giveUpAt = Date.now() + START_TIMEOUT_MS;
  const isReady = async (): Promise<true | undefined> => {
    const started = (await readFile(log, 'utf8')).split('Application startup complete').length - 1;
    if (started < workers) return undefined;
    const { ok } = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${masterKey}` } });
    return ok || undefined;
  };
  const ready = await poll(
    () => isReady().catch(() => undefined),
    () => !server.running || Date.now() > giveUpAt,
  );
  if (ready === undefined) throw new Error(`LiteLLM does not start:\n${await tail(log)}`);
}
