import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

import { execa, type Options } from 'execa';

import { loadConfig } from '../../../src/config/config.ts';
import { exists } from '../../../src/system/exists.ts';

/** The newest release that the package registries hold whole, with all that its extra `proxy` requires. */
export const LITELLM_VERSION = '1.106.12';
/** The Python client of Prisma, which LiteLLM uses without requiring it, and the generator that this client accepts. */
const PRISMA_PYTHON_VERSION = '0.11.0';
const PRISMA_GENERATOR = 'prisma@5.4.2';
/** Prisma's query engine as WebAssembly, its driver for Postgres, and the parser for what the Python client sends. */
const QUERY_ENGINE = ['@prisma/client@5.17.0', '@prisma/adapter-pg@5.17.0', '@prisma/driver-adapter-utils@5.17.0', 'pg@8.23.1'];
const GRAPHQL = 'graphql@16.11.0';
const CONSTRAINTS = join(import.meta.dirname, 'constraints.txt');

export interface Installation {
  /** LiteLLM's command. */
  litellm: string;
  /** Has a folder for each migration, in the order of their names. */
  migrationsDir: string;
  /** Of the query engine. */
  nodeModules: string;
}

/**
 * Installs LiteLLM into the cache where it is not there, which takes about a minute. Idempotent; of several processes one installs and the
 * others wait. Throws where `python3` with venv and pip is missing, and where a package is unavailable.
 */
export async function provideLiteLlm(): Promise<Installation> {
  const folder = join(loadConfig().cacheDir, `litellm-${LITELLM_VERSION}`);
  const marker = join(folder, 'installed');
  await mkdir(folder, { recursive: true });
  if (!(await exists(marker))) {
    await withLock(join(folder, 'lock'), async () => {
      if (await exists(marker)) return;
      await install(folder);
      await writeFile(marker, '');
    });
  }
  const sitePackages = await sitePackagesOf(folder);
  return {
    litellm: join(folder, 'venv/bin/litellm'),
    migrationsDir: join(sitePackages, 'litellm_proxy_extras/migrations'),
    nodeModules: join(folder, 'engine/node_modules'),
  };
}

async function install(folder: string): Promise<void> {
  process.stderr.write(`LiteLLM: installing ${LITELLM_VERSION}, once; it takes about a minute\n`);
  const inFolder = (name: string): string => join(folder, name);
  const [venv, engine, log] = [inFolder('venv'), inFolder('engine'), inFolder('install.log')] as const;
  for (const path of [venv, engine, log]) await rm(path, { recursive: true, force: true });
  await mkdir(engine);
  await writeFile(join(engine, 'package.json'), '{ "private": true }');
  await run(log, 'python3', ['-m', 'venv', venv]);
  const packages = [`litellm[proxy]==${LITELLM_VERSION}`, `prisma==${PRISMA_PYTHON_VERSION}`];
  await run(log, join(venv, 'bin/pip'), ['install', '--quiet', '--only-binary', ':all:', '--constraint', CONSTRAINTS, ...packages]);
  const npmOptions = ['--prefix', engine, '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund'];
  await run(log, 'npm', ['install', ...npmOptions, PRISMA_GENERATOR, ...QUERY_ENGINE, GRAPHQL], { cwd: engine });
  await generateClient(folder, log);
}

/** Prisma wants both of its engines before it generates, runs neither, and has the client try the first one: any program does. */
async function generateClient(folder: string, log: string): Promise<void> {
  const prisma = join(folder, 'engine/node_modules/prisma/build/index.js');
  const schema = join(await sitePackagesOf(folder), 'litellm/proxy/schema.prisma');
  const python = join(folder, 'venv/bin/python');
  const env = {
    PATH: `${join(folder, 'venv/bin')}:${process.env.PATH}`,
    PRISMA_CLI_QUERY_ENGINE_TYPE: 'binary',
    PRISMA_QUERY_ENGINE_BINARY: python,
    PRISMA_SCHEMA_ENGINE_BINARY: python,
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
    CHECKPOINT_DISABLE: '1',
  };
  await run(log, process.execPath, [prisma, 'generate', '--schema', schema], { env });
}

async function run(log: string, command: string, args: string[], options: Options = {}): Promise<void> {
  const output = { file: log, append: true };
  const { failed } = await execa(command, args, { ...options, reject: false, stdin: 'ignore', stdout: output, stderr: output });
  if (failed) throw new Error(`LiteLLM is not installed: ${command} ${args[0]} failed, see ${log}:\n${await tail(log)}`);
}

async function sitePackagesOf(folder: string): Promise<string> {
  const python = join(folder, 'venv/bin/python');
  const { stdout } = await execa(python, ['-c', 'import sysconfig; print(sysconfig.get_path("purelib"))']);
  return stdout;
}

const LOCK_POLL_MS = 500;

/** A transaction of SQLite is a lock on a file that the kernel releases when its process ends, however it ends. */
async function withLock(file: string, task: () => Promise<void>): Promise<void> {
  const lock = new DatabaseSync(file);
  try {
    while (!tryLock(lock)) await sleep(LOCK_POLL_MS);
    await task();
  } finally {
    lock.close();
  }
}

function tryLock(lock: DatabaseSync): boolean {
  try {
    lock.exec('begin exclusive');
    return true;
  } catch (error) {
    if (error instanceof Error && error.message.includes('locked')) return false;
    throw error;
  }
}

const TAIL_LINES = 30;

/** The last lines of a log; empty where there is no log. */
export async function tail(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
}
