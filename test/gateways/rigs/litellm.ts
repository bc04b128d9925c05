import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { parseJson } from '../../../src/contract/json.ts';
import { parseKeyRef } from '../../../src/contract/ref.ts';
import { parseKeyName } from '../../../src/gateways/key-name.ts';
import { keyIdOf } from '../../../src/gateways/litellm/key-id.ts';
import { listenOnPort } from '../../../src/proxy/server/listen.ts';
import { readKey } from '../../../src/proxy/upstream/headers.ts';
import { Secret } from '../../../src/secrets/secret.ts';
import { answer, send, type Answer } from '../../fakes/gateway/answer.ts';
import { Faults, type Fault } from '../../fakes/gateway/faults.ts';
import { jobIdOf } from '../../fakes/gateway/ledger.ts';
import { startLiteLlm, type LiteLlm } from '../../helpers/litellm/litellm.ts';
import { startSwitch } from '../../helpers/switch.ts';
import { isHeard } from './heard.ts';
import type { ExternalRig, RecordedCall } from './rig.ts';

const ROUTES: Record<string, string> = {
  'POST /key/generate': 'mint',
  'POST /team/new': 'team',
  'GET /key/info': 'read',
  'POST /key/update': 'extend',
  'POST /key/block': 'disable',
  'POST /key/delete': 'delete',
  'GET /spend/logs/v2': 'spend',
  'GET /key/list': 'list',
  'GET /v1/models': 'probe',
};
const RANGE = 'start_date=2020-01-01%2000%3A00%3A00&end_date=2099-01-01%2000%3A00%3A00&page_size=100';

const mintSchema = z.looseObject({ key: z.string(), key_alias: z.string() });
const idSchema = z.union([
  z.object({ key: z.string() }).transform(({ key }) => key),
  z.object({ keys: z.tuple([z.string()]) }).transform(({ keys: [key] }) => key),
  z.object({ api_key: z.string() }).transform(({ api_key: key }) => key),
]);
const durationSchema = z.looseObject({ duration: z.string().regex(/^\d+s$/) });
const listSchema = z.looseObject({ keys: z.array(z.looseObject({ created_at: z.string() })), total_pages: z.number() });
const logsSchema = z.object({ data: z.array(z.object({ spend: z.number() })) });

export interface LiteLlmJobs extends ExternalRig {
  litellm: LiteLlm;
  /** Makes a request to LiteLLM itself, with its master key. */
  ask(path: string, body?: object): Promise<unknown>;
}

interface Minted {
  id: string;
  secret: string;
  alias: string;
  fault: Fault | null;
  at: number;
}

/** A real LiteLLM behind a proxy that records the calls of its control plane and makes them fail. */
export async function startLiteLlmJobs(model: { baseUrl: string }): Promise<LiteLlmJobs> {
  const litellm = await startLiteLlm({ openaiUrl: `${model.baseUrl}/v1`, anthropicUrl: model.baseUrl, models: MODELS });
  const faults = new Faults<string>();
  const recorded: RecordedCall[] = [];
  const minted: Minted[] = [];
  const closed = new AbortController();
  let isRotated = false;

  const pass = async (req: IncomingMessage, body: Buffer, fault: Fault | null): Promise<Answer> => {
    const response = await forward(litellm.url, req, body, fault);
    const answered = parseJson(await response.text());
    return { status: response.status, body: withListFault(answered, fault) };
  };

  const control = async (req: IncomingMessage, res: ServerResponse, call: string, body: Buffer): Promise<void> => {
    const { searchParams } = new URL(req.url ?? '', 'http://rig.invalid');
    const input: unknown = body.length > 0 ? parseJson(body.toString()) : Object.fromEntries(searchParams);
    const mint = call === 'mint' ? mintSchema.safeParse(input).data : undefined;
    const id = call === 'probe' ? keyIdOf(new Secret(readKey(req.headers) ?? '')) : idSchema.safeParse(input).data;
    const alias = mint?.key_alias ?? minted.findLast((one) => one.id === id)?.alias ?? null;
    const jobId = alias === null ? null : jobIdOf(alias);
    if (isRotated && call !== 'probe') return send(res, { status: 401, body: { error: { message: 'Authentication Error' } } });
    const fault = faults.take(call, jobId);
    recorded.push({ call, jobId, fault });
    if (mint !== undefined)
      minted.push({ id: keyIdOf(new Secret(mint.key)), secret: mint.key, alias: mint.key_alias, fault, at: Date.now() });
    if (fault?.is === 'ignored') return send(res, { status: 200, body: {} });
    // The data plane accepts the key for as long as nobody has blocked it.
    if (fault?.is === 'cached')
      void sleep(fault.ms, undefined, { signal: closed.signal })
        .then(async () => pass(req, body, null))
        .catch(() => {});
    if (fault?.is === 'cached') return send(res, { status: 200, body: {} });
    await answer(res, fault, async () => pass(req, body, fault), closed.signal);
  };

  const server = createServer((req, res) => {
    const [path = ''] = (req.url ?? '').split('?', 1);
    const call = ROUTES[`${req.method} ${path}`];
    buffer(req)
      .then(async (body) => (call === undefined ? relay(litellm.url, req, body, res) : control(req, res, call, body)))
      .catch(() => res.destroy());
  });
  const line = await startSwitch(await listenOnPort(server, '127.0.0.1', 0));

  const ask = async (path: string, body?: object): Promise<unknown> => {
    const headers = { authorization: `Bearer ${litellm.masterKey}`, 'content-type': 'application/json' };
    const request = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    return (await fetch(`${litellm.url}${path}`, { headers, ...request })).json();
  };

  return {
    litellm,
    ask,
    gateway: 'litellm',
    title: 'LiteLLM',
    environment: { VALETKEY_LITELLM_BASE_URL: line.url, LITELLM_MASTER_KEY: litellm.masterKey },
    models: {
      openai: ['openai/gpt-5.1-codex', 'gpt-5.1-codex'],
      anthropic: ['anthropic/claude-sonnet-4-6', 'claude-sonnet-4-6'],
    },
    calls: { ofKey: ['mint', 'read', 'extend', 'disable', 'probe', 'spend', 'delete'], ofAll: ['team'] },
    faults,
    recorded,
    line,
    keysOf: async (jobId) => {
      const made = new Map(minted.filter(({ alias }) => jobIdOf(alias) === jobId).map((one) => [one.id, one]));
      return Promise.all(
        [...made.values()].map(async ({ id, secret, alias, fault, at }) => {
          const models = await fetch(`${litellm.url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } });
          await models.body?.cancel();
          const logs = logsSchema.parse(await ask(`/spend/logs/v2?api_key=${id}&${RANGE}`));
          const info = await fetch(`${litellm.url}/key/list?size=1&key_alias=${encodeURIComponent(alias)}`, {
            headers: { authorization: `Bearer ${litellm.masterKey}` },
          });
          const listed = z.object({ keys: z.array(z.unknown()) }).parse(await info.json());
          return {
            id,
            secret,
            generation: parseKeyRef(parseKeyName(alias)?.ref ?? `${jobId}/lease/1`).generation,
            isAccepted: models.status !== 401,
            isListed: listed.keys.length > 0,
            wasHandedOut: isHeard(fault),
            mintedAt: at,
            // A repeated mint makes the same key, so nothing hangs on it.
            endedAt: models.status === 401 ? at : Infinity,
            usd: logs.data.reduce((sum, { spend }) => sum + spend, 0),
          };
        }),
      );
    },
    deleteKey: async (id) => void (await ask('/key/delete', { keys: [id] })),
    spendBudget: async (id) => void (await ask('/key/update', { key: id, max_budget: 0 })),
    rotateAdmin: () => {
      isRotated = true;
      return () => {
        isRotated = false;
      };
    },
    close: async () => {
      closed.abort();
      await line.close();
      server.close();
      server.closeAllConnections();
      await litellm.close();
    },
  };
}

const GPT = { upstream: 'openai', upstreamModel: 'gpt-5.1-codex', inputUsdPerMillion: 1.25, outputUsdPerMillion: 10 } as const;
const CLAUDE = { upstream: 'anthropic', upstreamModel: 'claude-sonnet-4-6', inputUsdPerMillion: 3, outputUsdPerMillion: 15 } as const;
const MODELS = [
  { ...GPT, name: 'gpt-5.1-codex' },
  { ...GPT, name: 'openai/gpt-5.1-codex' },
  { ...CLAUDE, name: 'claude-sonnet-4-6' },
  { ...CLAUDE, name: 'anthropic/claude-sonnet-4-6' },
];

/** A clock that is off makes another duration of the same expiry, and other times in a list. */
async function forward(url: string, req: IncomingMessage, body: Buffer, fault: Fault | null): Promise<Response> {
  const timed = fault?.is === 'clock' ? durationSchema.safeParse(parseJson(body.toString())).data : undefined;
  const offMs = fault?.is === 'clock' ? fault.offMs : 0;
  const seconds = timed === undefined ? 0 : Math.max(1, Number(timed.duration.slice(0, -1)) + offMs / 1000);
  const sent = timed === undefined ? body.toString() : JSON.stringify({ ...timed, duration: `${seconds}s` });
  const { authorization, 'content-type': type } = req.headers;
  const headers: Record<string, string> = { 'content-type': type ?? 'application/json' };
  if (authorization !== undefined) headers.authorization = authorization;
  return fetch(`${url}${req.url}`, {
    headers,
    ...(req.method === undefined || req.method === 'GET' ? {} : { method: req.method, body: sent }),
  });
}

function withListFault(answered: unknown, fault: Fault | null): object {
  const list = fault === null ? undefined : listSchema.safeParse(answered).data;
  if (list === undefined || fault === null) return typeof answered === 'object' && answered !== null ? answered : {};
  if (fault.is === 'partial') return { ...list, total_pages: 1 };
  if (fault.is === 'flapping') return { ...list, keys: list.keys.filter((_, index) => index % 2 === 0) };
  if (fault.is !== 'clock') return list;
  const shifted = (at: string): string => new Date(Date.parse(at) + fault.offMs).toISOString();
  return { ...list, keys: list.keys.map((key) => ({ ...key, created_at: shifted(key.created_at) })) };
}

/** Headers that are about one connection. */
const OF_THE_LINE: ReadonlySet<string> = new Set(['host', 'connection', 'content-length', 'transfer-encoding']);

async function relay(url: string, req: IncomingMessage, body: Buffer, res: ServerResponse): Promise<void> {
  const headers = Object.entries(req.headers).flatMap(([name, value]): [string, string][] =>
    typeof value === 'string' && !OF_THE_LINE.has(name) ? [[name, value]] : [],
  );
  const aborted = new AbortController();
  res.once('close', () => aborted.abort());
  const request = req.method === 'GET' || req.method === undefined ? {} : { method: req.method, body: new Uint8Array(body) };
  const response = await fetch(`${url}${req.url}`, { headers, signal: aborted.signal, ...request });
  res.writeHead(response.status, { 'content-type': response.headers.get('content-type') ?? 'application/json' });
  for await (const chunk of response.body ?? []) res.write(chunk);
  res.end();
}
