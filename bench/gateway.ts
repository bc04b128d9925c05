import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Agent, request } from 'undici';
import { z } from 'zod';

import type { KeyRef } from '../src/contract/ref.ts';
import { startPostgres } from '../src/dev/postgres.ts';
import { migrate, openDatabase } from '../src/store/database.ts';
import { activateKey, recordIntent } from '../src/store/key-transitions.ts';
import { builtinSecrets } from '../test/helpers/minted-key.ts';

const OF_GATEWAY = { strategy: 'gateway', gateway: 'builtin' } as const;
const MODEL = 'claude-sonnet-4-6';
const SECRET = 'key-of-the-bench';
const REQUESTS = { 1: 400, 50: 1_000 } as const;
/** Until the code is compiled: a gateway lives for weeks. */
const WARM_UP = 500;
/** As large as a small turn of an agent. */
const BODY_BYTES = 32 * 1024;

/** For the waits: the README's own budget, and as many requests as agents make beside each other. */
const BUDGET_USD = 1.5;
const PARALLEL = 4;
const ROUNDS = 20;

interface Measured {
  /** ms, sorted. */
  latencies: number[];
  requestsPerS: number;
}

/** What the gateway adds, over calling the provider directly; both are called in turns, in one run, on loopback. */
export async function gateway(): Promise<{ json: unknown; table: string[][] }> {
  const dir = await mkdtemp(join(tmpdir(), 'valetkey-bench-'));
  const postgres = await startPostgres();
  const children: ChildProcess[] = [];
  try {
    await mintKeys(postgres.url);
    const upstream = await start(children, 'gateway-upstream.ts', {});
    const proxied = await start(children, 'gateway-replica.ts', {
      DATABASE_URL: postgres.url,
      VALETKEY_STATE_DIR: dir,
      VALETKEY_GATEWAY_PORT: '0',
      VALETKEY_ANTHROPIC_BASE_URL: upstream,
      ANTHROPIC_API_KEY: 'upstream-credential-for-the-bench',
      // Every limit is on, and none is met.
      VALETKEY_KEY_REQUESTS_PER_MINUTE: '10000000',
      VALETKEY_TENANT_REQUESTS_PER_MINUTE: '10000000',
      VALETKEY_UPSTREAM_REQUESTS_PER_MINUTE: '10000000',
    });
    const cases = [];
    for (const concurrency of [1, 50] as const) {
      for (const stream of [false, true]) cases.push(await compare({ upstream, proxied, concurrency, stream }));
    }
    const waitMs = await waits(proxied);
    const waitRow = [`${PARALLEL} at once of $${BUDGET_USD}`, '', `waits ${ms(waitMs.p50)}`, `waits ${ms(waitMs.p99)}`];
    return { json: { addedMs: cases[0]?.addedMs, waitMs, cases }, table: [HEADER, ...cases.map(row), waitRow] };
  } finally {
    for (const child of children) child.disconnect();
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

type Case = Awaited<ReturnType<typeof compare>>;

async function compare({
  upstream,
  proxied,
  concurrency,
  stream,
}: {
  upstream: string;
  proxied: string;
  concurrency: 1 | 50;
  stream: boolean;
}) {
  const total = REQUESTS[concurrency];
  // Short turns, so that what else the machine does hits both alike.
  const turn = concurrency === 1 ? 5 : total / 10;
  const direct: Measured[] = [];
  const through: Measured[] = [];
  for (const url of [upstream, proxied]) await load(url, WARM_UP, concurrency, stream);
  for (let done = 0; done < total; done += turn) {
    direct.push(await load(upstream, turn, concurrency, stream));
    through.push(await load(proxied, turn, concurrency, stream));
  }
  const [a, b] = [merge(direct), merge(through)];
  const added = (share: number): number => round(quantile(b.latencies, share) - quantile(a.latencies, share));
  return {
    stream,
    concurrency,
    addedMs: { p50: added(0.5), p99: added(0.99) },
    direct: summary(a),
    proxied: summary(b),
  };
}

/**
 * How long a request of Claude Code's size waits for its reservation beside others of its job: each round has a key of its own, so that
 * little of the budget is spent. The provider takes 200 ms; what an answer takes beyond that of a request alone is the wait.
 */
async function waits(baseUrl: string): Promise<{ p50: number; p99: number }> {
  const slow = { max_tokens: 32_000, metadata: { user_id: 'slow' } };
  const alone: number[] = [];
  const beside: number[] = [];
  for (let index = 0; index < ROUNDS; index += 1) {
    const secret = `${SECRET}-${index}`;
    alone.push(await call(baseUrl, false, { secret, ...slow }));
    beside.push(...(await Promise.all(Array.from({ length: PARALLEL }, () => call(baseUrl, false, { secret, ...slow })))));
  }
  const [base, sorted] = [alone, beside].map((latencies) => latencies.toSorted((a, b) => a - b));
  const wait = (share: number): number => round(Math.max(0, quantile(sorted ?? [], share) - quantile(base ?? [], 0.5)));
  return { p50: wait(0.5), p99: wait(0.99) };
}

const agent = new Agent({ pipelining: 1 });

async function load(baseUrl: string, total: number, concurrency: number, stream: boolean): Promise<Measured> {
  const latencies: number[] = [];
  const startedMs = performance.now();
  let left = total;
  const caller = async (): Promise<void> => {
    while (left-- > 0) latencies.push(await call(baseUrl, stream));
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  return { latencies, requestsPerS: (total / (performance.now() - startedMs)) * 1_000 };
}

const messages = [{ role: 'user', content: 'x'.repeat(BODY_BYTES) }];
async function call(
  baseUrl: string,
  stream: boolean,
  { secret = SECRET, ...more }: { secret?: string; max_tokens?: number; metadata?: object } = {},
): Promise<number> {
  const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': secret };
  // First what the provider of the bench looks at.
  const body = JSON.stringify({ stream, ...more, model: MODEL, max_tokens: more.max_tokens ?? 100, messages });
  const startedMs = performance.now();
  const answer = await request(`${baseUrl}/v1/messages`, { method: 'POST', dispatcher: agent, headers, body });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`the bench got ${answer.statusCode}: ${text}`);
  return performance.now() - startedMs;
}

async function mintKeys(url: string): Promise<void> {
  const database = openDatabase(url);
  await migrate(database);
  const expiresAt = new Date(Date.now() + 3_600_000);
  const mint = async (secret: string, budgetUsd: number): Promise<void> => {
    const ref: KeyRef = `${secret}/bench/1`;
    const key = {
      ref,
      jobId: secret,
      tenant: 'bench',
      generation: 1,
      gateway: 'builtin',
      credential: OF_GATEWAY,
      models: [MODEL],
      budgetUsd,
    } as const;
    await recordIntent(database.db, { ...key, owner: 'default/bench', rootKeyId: 'none', expiresAt, hardExpiresAt: expiresAt });
    await activateKey(database.db, key, builtinSecrets(secret));
  };
  await mint(SECRET, 100_000);
  for (let index = 0; index < ROUNDS; index += 1) await mint(`${SECRET}-${index}`, BUDGET_USD);
  await database.close();
}

async function start(children: ChildProcess[], file: string, env: Record<string, string>): Promise<string> {
  const child = fork(join(import.meta.dirname, file), { env: { PATH: process.env.PATH ?? '', ...env } });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(z.string().parse(message)));
    child.once('exit', () => reject(new Error(`${file} ended`)));
  });
}

function merge(parts: Measured[]): Measured {
  const latencies = parts.flatMap((part) => part.latencies).toSorted((a, b) => a - b);
  return { latencies, requestsPerS: parts.reduce((sum, part) => sum + part.requestsPerS, 0) / parts.length };
}

function quantile(sorted: number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function summary({ latencies, requestsPerS }: Measured): { p50Ms: number; p99Ms: number; requestsPerS: number } {
  return { p50Ms: round(quantile(latencies, 0.5)), p99Ms: round(quantile(latencies, 0.99)), requestsPerS: Math.round(requestsPerS) };
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

const HEADER = ['', 'concurrency', 'added p50', 'added p99', 'direct p50', 'gateway p50', 'direct req/s', 'gateway req/s'];

function row({ stream, concurrency, addedMs, direct, proxied: through }: Case): string[] {
  return [
    stream ? 'streaming' : 'not streaming',
    String(concurrency),
    ms(addedMs.p50),
    ms(addedMs.p99),
    ms(direct.p50Ms),
    ms(through.p50Ms),
    String(direct.requestsPerS),
    String(through.requestsPerS),
  ];
}
