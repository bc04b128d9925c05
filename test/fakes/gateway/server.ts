import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';

import type { Stack } from '../../../src/dev/stack.ts';
import type { MeteredGateway } from '../../../src/gateways/gateway.ts';
import { listenOnPort, listenOnSocket } from '../../../src/proxy/server/listen.ts';
import { readKey } from '../../../src/proxy/upstream/headers.ts';
import { hashSecret, Secret } from '../../../src/secrets/secret.ts';
import type { Adapters } from '../../../src/worker/start.ts';
import { FakeGateway } from './adapter.ts';
import { operate, ROUTES } from './admin.ts';
import { answer, send, type Answer } from './answer.ts';
import { Faults, type Call, type Fault } from './faults.ts';
import { COST, jobIdOf, Ledger, whenDead, type KeyRecord } from './ledger.ts';

/** A gateway of a third party on loopback, whose every call can be made to fail, and which forgets nothing. */
export interface FakeGatewayServer {
  ledger: Ledger;
  faults: Faults;
  /** Of the keys that the stack mints. */
  owner: string;
  /** Its client. */
  gateway: MeteredGateway;
  /** Puts it in place of the built-in gateway: the `adapt` of a stack. */
  adapt: (adapters: Adapters) => Adapters;
  /** Has the sandboxes of a stack that has started reach it, and sends their requests to its provider. */
  attach(stack: Stack): Promise<void>;
  close(): Promise<void>;
}

/** Starts one with a control plane and a data plane on a free port. */
export async function startFakeGateway(): Promise<FakeGatewayServer> {
  const ledger = new Ledger();
  const faults = new Faults();
  const credential = randomBytes(16).toString('hex');
  const closed = new AbortController();
  let upstream: Stack['config']['gateway']['openai'] | null = null;

  const take = (call: Call, alias: string | null): Fault | null => {
    const fault = faults.take(call, alias === null ? null : jobIdOf(alias));
    ledger.calls.push({ call, alias, at: Date.now(), fault });
    return fault;
  };

  const control = async (req: IncomingMessage, res: ServerResponse, call: (typeof ROUTES)[string]): Promise<void> => {
    const body = await buffer(req);
    if (req.headers.authorization !== `Bearer ${credential}`) return send(res, { status: 401, body: {} });
    const { searchParams } = new URL(req.url ?? '', 'http://fake.invalid');
    const input: unknown = body.length > 0 ? JSON.parse(body.toString()) : Object.fromEntries(searchParams);
    const alias = aliasOf(input);
    const fault = take(call, alias);
    await answer(res, fault, () => operate(ledger, call, input, fault), closed.signal);
  };

  const data = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const body = await buffer(req);
    const key = ledger.findSecret(hashSecret(new Secret(readKey(req.headers) ?? '')).toString('hex'));
    const kind = req.url === '/v1/models' ? 'probe' : 'request';
    const accept = (): Answer => {
      const refusal = refuse(key);
      ledger.uses.push({ alias: key?.alias ?? null, kind, at: Date.now(), accepted: refusal === null });
      return refusal ?? { status: 200, body: { object: 'list', data: [] } };
    };
    if (kind === 'probe') {
      const fault = take('probe', key?.alias ?? null);
      return answer(res, fault, accept, closed.signal);
    }
    const accepted = accept();
    if (accepted.status !== 200 || key === undefined || upstream === null) return send(res, accepted);
    key.requests += 1;
    await forward(upstream, req, body, res);
  };

  const serve = (req: IncomingMessage, res: ServerResponse): void => {
    const call = ROUTES[`${req.method} ${req.url?.split('?')[0]}`];
    (call === undefined ? data(req, res) : control(req, res, call)).catch(() => res.destroy());
  };
  const servers: Server[] = [createServer(serve), createServer(serve)];
  const [port, socket] = servers;
  if (port === undefined || socket === undefined) throw new Error('there are two servers');
  const url = await listenOnPort(port, '127.0.0.1', 0);

  const fake: FakeGatewayServer = {
    ledger,
    faults,
    owner: '',
    gateway: new FakeGateway({ url, credential, owner: () => fake.owner }),
    adapt: (adapters) => ({ ...adapters, gateways: { builtin: fake.gateway } }),
    attach: async ({ config, temporal }) => {
      fake.owner = `${temporal.namespace}/${config.deployment}`;
      upstream = config.gateway.openai;
      await listenOnSocket(socket, config.gateway.socketDir);
    },
    close: async () => {
      closed.abort();
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
  return fake;
}

/** Null where the key may be used. */
function refuse(key: KeyRecord | undefined): Answer | null {
  if (key === undefined || whenDead(key) <= Date.now()) return { status: 401, body: { error: { type: 'auth_error' } } };
  return key.requests * COST.usd >= key.budgetUsd ? { status: 422, body: { error: { type: 'budget_exceeded' } } } : null;
}

async function forward(
  { baseUrl, credential }: Stack['config']['gateway']['openai'],
  req: IncomingMessage,
  body: Buffer,
  res: ServerResponse,
): Promise<void> {
  const headers = { authorization: `Bearer ${credential?.reveal()}`, 'content-type': 'application/json' };
  const upstream = await fetch(`${baseUrl}${req.url}`, { method: 'POST', headers, body: new Uint8Array(body) });
  res.writeHead(upstream.status, { 'content-type': upstream.headers.get('content-type') ?? 'application/json' });
  for await (const chunk of upstream.body ?? []) res.write(chunk);
  res.end();
}

function aliasOf(input: unknown): string | null {
  return typeof input === 'object' && input !== null && 'alias' in input && typeof input.alias === 'string' ? input.alias : null;
}
