import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Agent, request } from 'undici';
import { z } from 'zod';

import { startPostgres } from '../src/dev/postgres.ts';
import type { KeyRef } from '../src/job/ref.ts';
import { hashSecret, Secret } from '../src/secrets/secret.ts';
import { migrate, openDatabase } from '../src/store/database.ts';
import { activateKey, recordIntent } from '../src/store/keys.ts';

const MODEL = 'claude-sonnet-4-6';
const SECRET = 'key-of-the-bench';
const REQUESTS = { 1: 400, 50: 1_000 } as const;
/** Until the code is compiled: a gateway lives for weeks. */
const WARM_UP = 500;
/** As large as a small turn of an agent. */
const BODY_BYTES = 32 * 1024;

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
    await mintKey(postgres.url);
    const upstream = await start(children, 'gateway-upstream.ts', {});
    const proxied = await start(children, 'gateway-replica.ts', {
      DATABASE_URL: postgres.url,
      VALETKEY_STATE_DIR: dir,
      VALETKEY_GATEWAY_PORT: '0',
      VALETKEY_ANTHROPIC_BASE_URL: upstream,
      ANTHROPIC_API_KEY: 'upstream-credential-for-the-bench',
    });
    const cases = [];
    for (const concurrency of [1, 50] as const) {
      for (const stream of [false, true]) cases.push(await compare({ upstream, proxied, concurrency, stream }));
    }
    return { json: { addedMs: cases[0]?.addedMs, cases }, table: [HEADER, ...cases.map(row)] };
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
const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': SECRET };

async function call(baseUrl: string, stream: boolean): Promise<number> {
  const body = JSON.stringify({ stream, model: MODEL, max_tokens: 100, messages });
  const startedMs = performance.now();
  const answer = await request(`${baseUrl}/v1/messages`, { method: 'POST', dispatcher: agent, headers, body });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`the bench got ${answer.statusCode}: ${text}`);
  return performance.now() - startedMs;
}

async function mintKey(url: string): Promise<void> {
  const database = openDatabase(url);
  await migrate(database);
  const ref: KeyRef = 'bench/bench/1';
  const expiresAt = new Date(Date.now() + 3_600_000);
  await recordIntent(database.db, {
    ref,
    jobId: 'bench',
    tenant: 'bench',
    generation: 1,
    gateway: 'builtin',
    models: [MODEL],
    budgetUsd: 100_000,
    owner: 'default/bench',
    rootKeyId: 'none',
    expiresAt,
    diesAt: expiresAt,
  });
  await activateKey(database.db, { ref, jobId: 'bench' }, hashSecret(new Secret(SECRET)));
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
