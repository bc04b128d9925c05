import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import { z } from 'zod';

import { listenOnPort } from '../../../src/proxy/server/listen.ts';
import { readKey } from '../../../src/proxy/upstream/headers.ts';
import { answer, send, type Answer } from '../gateway/answer.ts';
import { Faults } from '../gateway/faults.ts';
import { jobIdOf } from '../gateway/ledger.ts';
import { adminError, operate, routeOf } from './admin.ts';
import { answerOf, skinOf, streamOf, withCost } from './answers.ts';
import { COST, OpenRouterLedger, refusedFrom, type KeyRecord, type OpenRouterCall } from './ledger.ts';
import { refuse, type Refusal, type RefusalStatuses, type Skin } from './refusals.ts';

/** OpenRouter on loopback: its provisioning API, whose every call can be made to fail, and its three APIs of models. */
export interface FakeOpenRouter {
  /** With `/api` and without `/v1`. */
  baseUrl: string;
  ledger: OpenRouterLedger;
  faults: Faults<string>;
  statuses: RefusalStatuses;
  /** Refuses every request that a key may make, for a reason of the account; null: none. */
  accountRefusal: 'no_credit' | 'in_flight_budget' | null;
  /** Charges what comes as that of a key of a provider. */
  isByok: boolean;
  /** Where requests are sent, with `/v1` behind it; null: they are answered here. */
  upstream: { baseUrl: string; credential: string } | null;
  close(): Promise<void>;
}

const requestSchema = z.object({ model: z.string().catch(''), stream: z.boolean().catch(false) });
const namedSchema = z.object({ name: z.string() });
const assignedSchema = z.object({ key_hashes: z.tuple([z.string()], z.string()) });

/** Starts one on a free port. */
export async function startFakeOpenRouter(): Promise<FakeOpenRouter> {
  const ledger = new OpenRouterLedger();
  const faults = new Faults<string>();
  const closed = new AbortController();

  const keyOf = (req: IncomingMessage): KeyRecord | undefined => {
    const secret = readKey(req.headers);
    const key = ledger.keys.find((one) => one.secret === secret);
    // A disabled, expired or deleted key is answered with 401 (errors-and-debugging, "Error codes").
    return key === undefined || refusedFrom(key) <= Date.now() ? undefined : key;
  };

  const control = async (req: IncomingMessage, res: ServerResponse, call: OpenRouterCall, id: string, url: URL): Promise<void> => {
    const sent = await buffer(req);
    const body: unknown = sent.length > 0 ? JSON.parse(sent.toString()) : {};
    const named = namedSchema.safeParse(body).data?.name;
    const about = assignedSchema.safeParse(body).data?.key_hashes[0] ?? id;
    const name = call === 'mint' ? (named ?? null) : (ledger.keys.find(({ hash }) => hash === about)?.name ?? null);
    const fault = faults.take(call, name === null ? null : jobIdOf(name));
    ledger.calls.push({ call, name, fault });
    if (fault?.is === 'clock') res.setHeader('date', new Date(Date.now() + fault.offMs).toUTCString());
    const query = Object.fromEntries(url.searchParams);
    const isAllowed = readKey(req.headers) === ledger.provisioningKey;
    const act = (): Answer => {
      if (call === 'key') return describeKey(ledger, isAllowed, keyOf(req));
      if (isAllowed) return operate(ledger, { call, id, query, body }, fault);
      return keyOf(req) === undefined
        ? adminError(401, 'User not found.')
        : adminError(403, 'Only management keys can perform this operation');
    };
    await answer(res, fault, act, closed.signal);
  };

  const data = async (req: IncomingMessage, res: ServerResponse, skin: Skin): Promise<void> => {
    const body = await buffer(req);
    const { model, stream } = requestSchema.parse(JSON.parse(body.toString()));
    const key = keyOf(req);
    const refusal = key === undefined ? 'unauthorized' : refusalFor(key, model);
    const refused = refusal === null ? null : refuse(skin, refusal, fake.statuses);
    ledger.uses.push({ name: key?.name ?? null, status: refused?.status ?? 200 });
    if (refusal === 'in_flight_budget') res.setHeader('retry-after', 1);
    if (refused !== null || key === undefined) return send(res, refused ?? adminError(401, 'User not found.'));
    ledger.charge(key, COST.usd, fake.isByok);
    if (fake.upstream !== null) return forward(fake.upstream, req, body, res);
    if (!stream) return send(res, { status: 200, body: answerOf(skin, model) });
    res.writeHead(200, { 'content-type': 'text/event-stream' }).end(streamOf(skin, model));
  };

  /** The limit is checked before the call: the one that crosses it is made in full. */
  const refusalFor = (key: KeyRecord, model: string): Refusal | null => {
    if (fake.accountRefusal !== null) return fake.accountRefusal;
    if ((ledger.remainingUsd(key) ?? Infinity) <= 0) return 'key_limit';
    return ledger.modelsOf(key)?.includes(model) === false ? 'model_not_allowed' : null;
  };

  const server = createServer((req, res) => {
    const url = new URL(req.url ?? '', 'http://fake.invalid');
    const method = req.method ?? '';
    const skin = method === 'POST' ? skinOf(url.pathname) : null;
    const route = method === 'GET' && url.pathname === '/api/v1/key' ? { call: 'key' as const, id: '' } : routeOf(method, url.pathname);
    const served = skin !== null ? data(req, res, skin) : route === null ? null : control(req, res, route.call, route.id, url);
    // What is outside the API is the web site.
    if (served === null) res.writeHead(404, { 'content-type': 'text/html' }).end('<html>');
    served?.catch(() => res.destroy());
  });

  const fake: FakeOpenRouter = {
    baseUrl: `${await listenOnPort(server, '127.0.0.1', 0)}/api`,
    ledger,
    faults,
    statuses: { keyLimit: 402, model: 403 },
    accountRefusal: null,
    isByok: false,
    upstream: null,
    close: async () => {
      closed.abort();
      server.close();
      server.closeAllConnections();
    },
  };
  return fake;
}

/** `GET /key`: what a key asks about itself. */
function describeKey(ledger: OpenRouterLedger, isManagementKey: boolean, key: KeyRecord | undefined): Answer {
  if (!isManagementKey && key === undefined) return adminError(401, 'User not found.');
  const limit = key?.limit ?? null;
  const usage = key === undefined ? 0 : ledger.usedUsd(key, false);
  const limits = { limit, limit_remaining: key === undefined ? null : ledger.remainingUsd(key), limit_reset: null, usage };
  const kind = { is_management_key: isManagementKey, is_provisioning_key: isManagementKey, is_free_tier: false };
  return { status: 200, body: { data: { label: 'sk-or-v1-fak...key', ...limits, ...kind } } };
}

async function forward(
  { baseUrl, credential }: NonNullable<FakeOpenRouter['upstream']>,
  req: IncomingMessage,
  body: Buffer,
  res: ServerResponse,
): Promise<void> {
  const headers = { authorization: `Bearer ${credential}`, 'x-api-key': credential, 'content-type': 'application/json' };
  const path = (req.url ?? '').replace(/^\/api/, '');
  const upstream = await fetch(`${baseUrl}${path}`, { method: 'POST', headers, body: new Uint8Array(body) });
  const type = upstream.headers.get('content-type') ?? 'application/json';
  res.writeHead(upstream.status, { 'content-type': type });
  const decoder = new TextDecoder();
  // Whole lines, so that no usage is torn between two chunks.
  let rest = '';
  const chunks: AsyncIterable<Uint8Array> = upstream.body ?? Readable.from([]);
  for await (const chunk of chunks) {
    const text = rest + decoder.decode(chunk, { stream: true });
    const end = type.includes('event-stream') ? text.lastIndexOf('\n') + 1 : 0;
    rest = text.slice(end);
    if (end > 0) res.write(withCost(text.slice(0, end)));
  }
  res.end(withCost(rest));
}
