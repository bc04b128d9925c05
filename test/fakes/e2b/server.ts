import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { createCloud, type Cloud, type CloudSandbox } from '../remote/cloud.ts';
import { answer, type Call } from '../remote/faults.ts';
import type { MachineHost } from '../remote/machine.ts';
import { connectStream, readConnectMessage } from './connect-stream.ts';

const ENVD_PORT = 49_983;
const ENVD_VERSION = '0.6.0';
const ALL_ADDRESSES = '0.0.0.0/0';

export interface FakeE2b extends Cloud {
  /** Where the API is, and what routes to every sandbox by header. */
  url: string;
  apiKey: string;
  close(): Promise<void>;
}

interface Network {
  allowOut?: string[];
  denyOut?: string[];
  allowPublicTraffic?: boolean;
}

interface Request {
  method: string;
  url: URL;
  body: Buffer;
  req: IncomingMessage;
  res: ServerResponse;
}

/** E2B's API, its edge and its program in each sandbox, on one loopback port. `page`: sandboxes in one page of a listing. */
export async function startFakeE2b(host: MachineHost, { page = 2 } = {}): Promise<FakeE2b> {
  const apiKey = 'e2b_0123456789abcdef0123456789abcdef01234567';
  const cloud = createCloud(host);
  const server = createServer((req, res) => {
    const id = req.headers['e2b-sandbox-id'];
    const work = typeof id === 'string' ? edge(cloud, id, req, res) : api(cloud, apiKey, page, req, res);
    work.catch(() => (res.headersSent ? res.destroy() : res.writeHead(500).end()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ...cloud,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    apiKey,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await cloud.close();
    },
  };
}

async function api(cloud: Cloud, apiKey: string, page: number, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const request = await read(req, res);
  const { method, url, body } = request;
  const json = JSON.parse(body.toString() || '{}') as Record<string, unknown>;
  cloud.requests.push({ line: `${method} ${url.pathname}`, body: json });
  if (req.headers['x-api-key'] !== apiKey) return void res.writeHead(401, JSON_TYPE).end('{"code":401,"message":"no such key"}');
  const fault = (call: Call) => cloud.faults.take(call);
  const route = `${method} ${url.pathname.replace(/\/sandboxes\/[^/]+/, '/sandboxes/ID')}`;
  const id = /\/sandboxes\/([^/]+)/.exec(url.pathname)?.[1] ?? '';
  const found = cloud.sandboxes.get(id);
  const known = (act: (sandbox: CloudSandbox) => { status: number; body?: unknown } | Promise<{ status: number; body?: unknown }>) => async () =>
    found === undefined ? { status: 404, body: { code: 404, message: 'not found' } } : act(found);
  switch (route) {
    case 'POST /v2/sandboxes':
      return answer(res, fault('create'), async () => ({ status: 201, body: opened(await create(cloud, json)) }));
    case 'GET /v2/sandboxes': {
      const listFault = fault('list');
      return answer(res, listFault, () => Promise.resolve(list(cloud, url, page, listFault?.is === 'missing')));
    }
    case 'POST /v2/sandboxes/ID/connect':
      return answer(res, fault('address'), known((sandbox) => {
        extend(sandbox, json);
        sandbox.state = 'running';
        return { status: 200, body: opened(sandbox) };
      }));
    case 'GET /sandboxes/ID':
      return answer(res, fault('find'), known((sandbox) => ({ status: 200, body: described(sandbox) })));
    case 'POST /sandboxes/ID/timeout':
      return answer(res, fault('extend'), known((sandbox) => {
        extend(sandbox, json);
        return { status: 204 };
      }));
    case 'DELETE /sandboxes/ID':
      return answer(res, fault('kill'), known(async () => {
        await cloud.kill(id);
        return { status: 204 };
      }));
    default:
      return void res.writeHead(404, JSON_TYPE).end('{"code":404,"message":"no such route"}');
  }
}

const JSON_TYPE = { 'content-type': 'application/json' };

async function create(cloud: Cloud, json: Record<string, unknown>): Promise<CloudSandbox> {
  const network = (json['network'] ?? {}) as Network;
  const gateway = network.allowOut?.includes('127.0.0.1') === true || network.denyOut?.includes(ALL_ADDRESSES) !== true;
  return cloud.create(
    { name: '', template: String(json['templateID']), labels: (json['metadata'] ?? {}) as Record<string, string>, request: json },
    Number(json['timeout'] ?? 300) * 1_000,
    gateway,
  );
}

function list(cloud: Cloud, url: URL, page: number, isMissing: boolean) {
  const pairs = new URLSearchParams(url.searchParams.get('metadata') ?? '');
  const labels = Object.fromEntries([...pairs].map(([name, value]) => [decodeURIComponent(name), decodeURIComponent(value)]));
  const states = (url.searchParams.get('state') ?? 'running').split(',');
  const all = isMissing ? [] : cloud.listed(labels).filter(({ state }) => states.includes(state));
  const from = Number(url.searchParams.get('nextToken') ?? 0);
  const headers: Record<string, string> = from + page < all.length ? { 'x-next-token': String(from + page) } : {};
  return { status: 200, body: all.slice(from, from + page).map(described), headers };
}

function extend(sandbox: CloudSandbox, json: Record<string, unknown>): void {
  if (json['timeout'] !== undefined) sandbox.endsAt = new Date(Date.now() + Number(json['timeout']) * 1_000);
}

function opened({ id, template, programToken, portToken }: CloudSandbox) {
  return { sandboxID: id, templateID: template, clientID: 'fake', envdVersion: ENVD_VERSION, envdAccessToken: programToken, trafficAccessToken: portToken };
}

function described({ id, template, labels, state, startedAt, endsAt }: CloudSandbox) {
  return {
    ...{ sandboxID: id, templateID: template, clientID: 'fake', metadata: labels, state, envdVersion: ENVD_VERSION },
    ...{ startedAt: startedAt.toISOString(), endAt: endsAt.toISOString(), cpuCount: 2, memoryMB: 1024, diskSizeMB: 1024 },
  };
}

/** What is reached below the sandbox's host names. */
async function edge(cloud: Cloud, id: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const sandbox = cloud.sandboxes.get(id);
  const port = Number(req.headers['e2b-sandbox-port']);
  const refuse = (message: string): void =>
    void res.writeHead(502, JSON_TYPE).end(JSON.stringify({ sandboxId: id, message, code: 502 }));
  if (sandbox?.state !== 'running') return refuse('The sandbox was not found');
  if (port === ENVD_PORT) return envd(cloud, sandbox, req, res).catch(() => refuse('The sandbox is running but port is not open'));
  const isPublic = (sandbox.request['network'] as Network | undefined)?.allowPublicTraffic !== false;
  if (!isPublic && req.headers['e2b-traffic-access-token'] !== sandbox.portToken)
    return void res.writeHead(403, JSON_TYPE).end('{"code":403,"message":"no token"}');
  const fault = cloud.faults.take('pass');
  if (fault?.is === 'lost') return void res.destroy();
  if (fault?.is === 'status') return void res.writeHead(fault.status, JSON_TYPE).end('{}');
  sandbox.machine.pass(port, req, res, () => refuse('The sandbox is running but port is not open'));
}

/** E2B's program in the sandbox. */
async function envd(cloud: Cloud, { machine, programToken }: CloudSandbox, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { method, url, body } = await read(req, res);
  cloud.requests.push({ line: `${method} ${url.pathname}`, body: url.pathname.startsWith('/process') ? readConnectMessage(body) : null });
  if (req.headers['x-access-token'] !== programToken) return void res.writeHead(401, JSON_TYPE).end('{"code":401,"message":"no token"}');
  const path = url.searchParams.get('path') ?? '';
  if (url.pathname === '/files' && method === 'POST')
    return answer(res, cloud.faults.take('write'), async () => {
      const form = await new Response(body, { headers: { 'content-type': req.headers['content-type'] ?? '' } }).formData();
      const file = form.get('file');
      if (!(file instanceof Blob)) return { status: 400, body: { code: 400, message: 'no file' } };
      await machine.writeFile(path, Buffer.from(await file.arrayBuffer()));
      return { status: 200, body: [{ name: path, path, type: 'file' }] };
    });
  if (url.pathname === '/files') {
    const content = await machine.readFile(path);
    if (content === null) return void res.writeHead(404, JSON_TYPE).end('{"code":404,"message":"no such file"}');
    return void res.writeHead(200, { 'content-type': 'application/octet-stream' }).end(content);
  }
  if (url.pathname !== '/process.Process/Start') return void res.writeHead(404, JSON_TYPE).end('{}');
  const { process } = readConnectMessage(body) as { process: { args: string[] } };
  const exitCode = await machine.run(process.args.at(-1) ?? '');
  connectStream(res, [{ event: { start: { pid: 1 } } }, { event: { end: { exitCode, exited: true, status: `exit status ${exitCode}` } } }]);
}

async function read(req: IncomingMessage, res: ServerResponse): Promise<Request> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return { method: req.method ?? '', url: new URL(req.url ?? '', 'http://fake'), body: Buffer.concat(parts), req, res };
}
