import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';

import { parseJson } from '../../../src/contract/json.ts';
import { listenOnPort } from '../../../src/proxy/server/listen.ts';
import { answer, send } from '../gateway/answer.ts';
import { Faults } from '../gateway/faults.ts';
import { jobIdOf } from '../gateway/ledger.ts';
import { operate, readRequest, refusal, type ControlSettings } from './control-plane.ts';
import { PATHS, serve, type FakeUpstream } from './data-plane.ts';
import { PortkeyLedger } from './ledger.ts';

/** Portkey's control plane and data plane on loopback; every call of the control plane can be made to fail. */
export interface FakePortkey {
  /** Without `/v1`. */
  baseUrl: string;
  /** May be replaced while it runs. */
  adminKey: string;
  /** May be changed while it runs. */
  settings: ControlSettings;
  ledger: PortkeyLedger;
  faults: Faults<string>;
  close(): void;
}

export async function startFakePortkey(upstream: FakeUpstream | null = null): Promise<FakePortkey> {
  const ledger = new PortkeyLedger();
  const faults = new Faults<string>();
  const settings: ControlSettings = { workspaceId: 'ws-test', maxPageSize: 3, analyticsLagMs: 0, analyticsStatus: null };
  const closed = new AbortController();

  const control = async (request: IncomingMessage, url: URL, body: Buffer, response: ServerResponse): Promise<void> => {
    const wanted = readRequest(request.method ?? '', url, parseJson(body.toString()));
    if (request.headers['x-portkey-api-key'] !== fake.adminKey) return send(response, refusal(401, 'AB05', 'Unauthorized access'));
    if (wanted === null) {
      response.writeHead(404, { 'content-type': 'text/html' }).end('<html>');
      return;
    }
    const about = wanted.id ?? wanted.query['api_key_ids'];
    const name = nameOf(wanted.body) ?? ledger.keys.find(({ id }) => id === about)?.name ?? null;
    const fault = faults.take(wanted.call, name === null ? null : jobIdOf(name));
    ledger.calls.push({ call: wanted.call, name, fault });
    if (fault?.is === 'clock') response.setHeader('date', new Date(Date.now() + fault.offMs).toUTCString());
    await answer(response, fault, () => operate(ledger, wanted, settings, fault), closed.signal);
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://portkey.invalid');
    buffer(request)
      .then((body) => (PATHS.has(url.pathname) ? serve(ledger, upstream, request, body, response) : control(request, url, body, response)))
      .catch(() => response.destroy());
  });
  const fake: FakePortkey = {
    baseUrl: await listenOnPort(server, '127.0.0.1', 0),
    adminKey: `admin-${randomBytes(16).toString('hex')}`,
    settings,
    ledger,
    faults,
    close: () => {
      closed.abort();
      server.close();
      server.closeAllConnections();
    },
  };
  return fake;
}

function nameOf(body: unknown): string | null {
  return typeof body === 'object' && body !== null && 'name' in body && typeof body.name === 'string' ? body.name : null;
}
