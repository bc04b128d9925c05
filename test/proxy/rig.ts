import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request, type ClientRequest, type IncomingMessage, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadConfig } from '../../src/config/config.ts';
import type { JobCredential } from '../../src/contract/credential.ts';
import type { Dialect } from '../../src/contract/dialect.ts';
import { parseKeyRef, type KeyRef } from '../../src/contract/ref.ts';
import type { Usage } from '../../src/contract/result.ts';
import { startProxy, type Proxy } from '../../src/proxy/server/server.ts';
import type { ProxySettings } from '../../src/proxy/server/settings.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer, type Unsealer } from '../../src/secrets/unsealer.ts';
import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { beginEnd } from '../../src/store/key-transitions.ts';
import { activateKey, recordIntent } from '../../src/store/key-transitions.ts';
import { meteredUsage } from '../../src/store/key-usage.ts';
import { countOpenRequests } from '../../src/store/request-records.ts';
import type { Logger } from '../../src/telemetry/log.ts';
import { newDatabase } from '../helpers/database.ts';
import { builtinSecrets } from '../helpers/minted-key.ts';
import { OF_GATEWAY } from '../helpers/stored-credential.ts';

export const CREDENTIAL = 'upstream-credential-for-tests';
export const CLAUDE = 'claude-sonnet-4-6';
export const GPT = 'gpt-5.1';

export interface TestKey {
  ref: KeyRef;
  secret: string;
}

/** A proxy on a database of its own. */
export interface Rig {
  database: Database;
  proxy: Proxy;
  mint(change?: { budgetUsd?: number; models?: string[]; expiresInMs?: number; credential?: JobCredential }): Promise<TestKey>;
  disable(key: TestKey): Promise<void>;
  /** Of the key, once all of its requests have ended. */
  usage(key: TestKey): Promise<Usage>;
  /** The key's requests, the oldest first, once all of them have ended. */
  ended(key: TestKey): Promise<{ protocol: string; status: number | null; code: string | null; usd: number }[]>;
  /** How often each of the key's requests was sent, the oldest first, once all of them have ended. */
  tries(key: TestKey): Promise<number[]>;
  close: () => Promise<void>;
}

export async function startRig(
  upstream: string,
  {
    idleTimeoutMs = 20_000,
    drainTimeoutMs = 500,
    settings = {},
    databaseUrl,
    credential = CREDENTIAL,
    headers,
    unsealer = createUnsealer(undefined),
    logger,
  }: {
    idleTimeoutMs?: number;
    drainTimeoutMs?: number;
    settings?: Partial<ProxySettings>;
    databaseUrl?: string;
    credential?: string | null;
    /** What every request to a provider gets. */
    headers?: Record<Dialect, Record<string, string>>;
    unsealer?: Unsealer;
    logger?: Logger;
  } = {},
): Promise<Rig> {
  const database = openDatabase(databaseUrl ?? (await newDatabase()));
  await migrate(database);
  const dir = await mkdtemp(join(tmpdir(), 'vk-proxy-'));
  const target = { baseUrl: upstream, credential: credential === null ? undefined : new Secret(credential) };
  const { gateway: defaults } = loadConfig({});
  const gateway = {
    ...defaults,
    port: 0,
    socketDir: dir,
    idleTimeoutMs,
    drainTimeoutMs,
    maxTries: 1,
    ...settings,
    anthropic: { ...target, ...(headers && { headers: headers.anthropic }) },
    openai: { ...target, ...(headers && { headers: headers.openai }) },
    gateways: {},
  };
  const proxy = await startProxy({ database, unsealer, gateway, logger });
  return {
    database,
    proxy,
    mint: async ({ budgetUsd = 10, models = [CLAUDE, GPT], expiresInMs = 600_000, credential: paidWith = OF_GATEWAY } = {}) => {
      const key: TestKey = { ref: `job-${randomUUID()}/lease/1`, secret: `key-${randomUUID()}` };
      const expiresAt = new Date(Date.now() + expiresInMs);
      await recordIntent(database.db, {
        ...identity(key),
        credential: paidWith,
        rootKeyId: 'none',
        models,
        budgetUsd,
        expiresAt,
        hardExpiresAt: expiresAt,
      });
      await activateKey(database.db, identity(key), builtinSecrets(key.secret));
      return key;
    },
    disable: async (key) => void (await beginEnd(database.db, identity(key), 'job')),
    usage: async ({ ref }) => {
      await until(async () => (await countOpenRequests(database.db, ref)) === 0);
      const { usd, inputTokens, outputTokens, requests } = await meteredUsage(database.db, ref);
      return { usd, inputTokens, outputTokens, requests };
    },
    ended: async ({ ref }) => {
      await until(async () => (await countOpenRequests(database.db, ref)) === 0);
      const rows = await database.db.selectFrom('requests').selectAll().where('ref', '=', ref).orderBy('id').execute();
      return rows.map(({ protocol, status, code, usd }) => ({ protocol, status, code, usd: Number(usd) }));
    },
    tries: async ({ ref }) => {
      await until(async () => (await countOpenRequests(database.db, ref)) === 0);
      const rows = await database.db.selectFrom('requests').select('tries').where('ref', '=', ref).orderBy('id').execute();
      return rows.map(({ tries }) => tries);
    },
    close: async () => {
      await proxy.close();
      await database.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** The job of a key, which has no other. */
export function jobOf({ ref }: TestKey): string {
  return parseKeyRef(ref).jobId;
}

function identity(key: TestKey) {
  return {
    ref: key.ref,
    jobId: jobOf(key),
    tenant: 'acme',
    generation: 1,
    gateway: 'builtin',
    credential: OF_GATEWAY,
    owner: 'default/tests',
  } as const;
}

/** A provider that a test makes misbehave. */
export interface Upstream {
  url: string;
  /** Resolves with the next request that arrives. */
  next: () => Promise<IncomingMessage>;
  close: () => Promise<void>;
}

export async function startUpstream(listener: RequestListener): Promise<Upstream> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not on a port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    next: () => new Promise((resolve) => server.once('request', resolve)),
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

/** One whole exchange. Rejects where the connection breaks. */
export async function send(
  rig: Rig,
  key: string | null,
  path: string,
  body?: object | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const answer = await fetch(`${rig.proxy.url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json', ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

/** Begins an exchange over node:http, to look at it while it runs. */
export function begin(rig: Rig, { secret }: TestKey, path: string, body: object): ClientRequest {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${secret}` };
  const req = request(`${rig.proxy.url}${path}`, { method: 'POST', headers, agent: false });
  req.on('error', () => {});
  req.end(JSON.stringify(body));
  return req;
}

/** The answer's head, once it is there. */
export async function head(req: ClientRequest): Promise<IncomingMessage> {
  const res = await new Promise<IncomingMessage>((resolve, reject) => req.once('response', resolve).once('error', reject));
  res.on('error', () => {});
  return res;
}

/** Resolves when a socket, a request or an answer is closed, whether in order or not. */
export async function closed(stream: { destroyed: boolean; once(event: 'close', listener: () => void): unknown }): Promise<void> {
  if (!stream.destroyed) await new Promise<void>((resolve) => stream.once('close', resolve));
}

/** What a generating route takes, by its path. */
export function generating(content: string, more: object = {}): Record<string, object> {
  const messages = [{ role: 'user', content }];
  return {
    '/v1/messages': { model: CLAUDE, max_tokens: 100, messages, ...more },
    '/v1/responses': { model: GPT, input: content, ...more },
    '/v1/chat/completions': { model: GPT, messages, ...more },
  };
}

/** Asks again until it is so; the test's own time-out is the limit. */
export async function until(ask: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await ask())) await new Promise((resolve) => setTimeout(resolve, 10));
}
