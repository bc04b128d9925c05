import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { createCloud, type Cloud, type CloudSandbox } from '../remote/cloud.ts';
import { answer, type Call } from '../remote/faults.ts';
import type { MachineHost } from '../remote/machine.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const MINUTE_MS = 60_000;

export interface FakeDaytona extends Cloud {
  /** Where the API is. Each sandbox is reached at a loopback port of its own, in place of a host name. */
  url: string;
  apiKey: string;
  close(): Promise<void>;
}

/** Daytona's API, its toolbox in each sandbox and its previews, on loopback. */
export async function startFakeDaytona(host: MachineHost): Promise<FakeDaytona> {
  const apiKey = 'dtn_0123456789abcdef0123456789abcdef';
  const cloud = createCloud(host);
  const previews = new Map<string, Server>();
  const secrets = new Set<string>();
  const server = createServer((req, res) => {
    handle(req, res).catch(() => (res.headersSent ? res.destroy() : res.writeHead(500).end()));
  });
  await listen(server);
  const url = `http://127.0.0.1:${portOf(server)}`;

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(req.url ?? '', url);
    const body = await read(req);
    const json = req.headers['content-type'] === 'application/json' ? (JSON.parse(body.toString()) as Record<string, unknown>) : {};
    cloud.requests.push({ line: `${req.method} ${pathname}`, body: json });
    if (req.headers.authorization !== `Bearer ${apiKey}`) return void res.writeHead(401, JSON_TYPE).end('{"statusCode":401}');
    const fault = (call: Call) => cloud.faults.take(call);
    const [, area = '', id = '', ...rest] = pathname.split('/');
    const found = cloud.sandboxes.get(id) ?? [...cloud.sandboxes.values()].find(({ name }) => name === id);
    const known = (act: (sandbox: CloudSandbox) => { status: number; body?: unknown } | Promise<{ status: number; body?: unknown }>) => async () =>
      found === undefined ? { status: 404, body: { statusCode: 404, message: 'not found' } } : act(found);
    const call = `${req.method} ${area}${id === '' ? '' : '/ID'}${rest.map((part) => `/${part}`).join('')}`;
    if (area === 'toolbox') return found === undefined ? void res.writeHead(404, JSON_TYPE).end('{}') : toolbox(found, rest, req, res, body, searchParams, json).catch(() => void res.writeHead(502, JSON_TYPE).end('{}'));
    switch (call.replace(/\/\d+(?=\/|$)/, '/N')) {
      case 'POST secret': {
        const isNew = !secrets.has(String(json['name']));
        secrets.add(String(json['name']));
        return void res.writeHead(isNew ? 201 : 409, JSON_TYPE).end('{}');
      }
      case 'POST sandbox':
        return answer(res, fault('create'), async () => create(json));
      case 'GET sandbox': {
        const listFault = fault('list');
        const labels = JSON.parse(searchParams.get('labels') ?? '{}') as Record<string, string>;
        const all = listFault?.is === 'missing' ? [] : cloud.listed(labels);
        const from = Number(searchParams.get('cursor') ?? 0);
        const next = from + 2 < all.length ? String(from + 2) : null;
        return answer(res, listFault, () => Promise.resolve({ status: 200, body: { items: all.slice(from, from + 2).map(described), nextCursor: next } }));
      }
      case 'GET sandbox/ID':
        return answer(res, fault('find'), known((sandbox) => ({ status: 200, body: described(sandbox) })));
      case 'DELETE sandbox/ID':
        return answer(res, fault('kill'), known(async (sandbox) => {
          await cloud.kill(sandbox.id);
          previews.get(sandbox.id)?.closeAllConnections();
          previews.get(sandbox.id)?.close();
          return { status: 200, body: {} };
        }));
      case 'POST sandbox/ID/ttl/N':
        return answer(res, fault('extend'), known((sandbox) => {
          sandbox.endsAt = new Date(Date.now() + Number(rest[1]) * MINUTE_MS);
          return { status: 200, body: described(sandbox) };
        }));
      case 'GET sandbox/ID/ports/N/preview-url':
        return answer(res, fault('address'), known(async (sandbox) => ({
          status: 200,
          body: { sandboxId: sandbox.id, url: await previewOf(sandbox, Number(rest[1])), token: sandbox.portToken },
        })));
      default:
        return void res.writeHead(404, JSON_TYPE).end('{"statusCode":404}');
    }
  }

  async function create(json: Record<string, unknown>) {
    const name = String(json['name']);
    if (cloud.listed({}).some((sandbox) => sandbox.name === name)) return { status: 409, body: { statusCode: 409, message: 'the name is taken' } };
    const asked = (json['secrets'] ?? []) as Record<string, string>[];
    if (asked.some((entry) => Object.values(entry).some((secret) => !secrets.has(secret)))) return { status: 400, body: { statusCode: 400 } };
    const allowed = String(json['networkAllowList'] ?? '').split(',');
    const isOpen = json['networkAllowList'] === undefined && json['domainAllowList'] === undefined;
    const minutes = Number(json['ttlMinutes'] ?? 0);
    const wanted = { name, template: String(json['snapshot']), labels: (json['labels'] ?? {}) as Record<string, string>, request: json };
    const sandbox = await cloud.create(wanted, minutes === 0 ? Number.MAX_SAFE_INTEGER / 2 : minutes * MINUTE_MS, isOpen || allowed.includes('127.0.0.1/32'));
    sandbox.state = 'started';
    return { status: 200, body: described(sandbox) };
  }

  function described({ id, name, labels, state, startedAt, endsAt }: CloudSandbox) {
    const autoDestroyAt = Number.isNaN(endsAt.getTime()) ? null : endsAt.toISOString();
    return { id, name, labels, state, desiredState: 'started', createdAt: startedAt.toISOString(), autoDestroyAt, toolboxProxyUrl: `${url}/toolbox` };
  }

  async function toolbox(
    { machine, state }: CloudSandbox,
    rest: string[],
    req: IncomingMessage,
    res: ServerResponse,
    body: Buffer,
    query: URLSearchParams,
    json: Record<string, unknown>,
  ): Promise<void> {
    if (state !== 'started') return void res.writeHead(502, JSON_TYPE).end('{}');
    const path = query.get('path') ?? '';
    switch (`${req.method} ${rest.join('/')}`) {
      case 'POST files/upload-v2':
        return answer(res, cloud.faults.take('write'), async () => {
          await machine.writeFile(path, body);
          return { status: 200, body: {} };
        });
      case 'GET files/download': {
        const content = await machine.readFile(path);
        return void (content === null ? res.writeHead(404, JSON_TYPE).end('{}') : res.writeHead(200).end(content));
      }
      case 'POST process/execute':
        return answer(res, cloud.faults.take('run'), async () => ({
          status: 200,
          body: { exitCode: await machine.run(String(json['command'])), result: '' },
        }));
      default:
        return void res.writeHead(404, JSON_TYPE).end('{}');
    }
  }

  /** Returns the URL of a port of a sandbox, which wants the port's token. */
  async function previewOf({ id }: CloudSandbox, port: number): Promise<string> {
    const known = previews.get(id);
    if (known !== undefined) return `http://127.0.0.1:${portOf(known)}`;
    const preview = createServer((req, res) => {
      const sandbox = cloud.sandboxes.get(id);
      const fault = cloud.faults.take('pass');
      if (fault?.is === 'lost') return void res.destroy();
      if (sandbox === undefined) return void res.writeHead(404, JSON_TYPE).end('{}');
      if (req.headers['x-daytona-preview-token'] !== sandbox.portToken) return void res.writeHead(401, JSON_TYPE).end('{}');
      if (sandbox.state !== 'started') return void res.writeHead(502, JSON_TYPE).end('{}');
      sandbox.machine.pass(port, req, res, () => void res.writeHead(502, JSON_TYPE).end('{}'));
    });
    await listen(preview);
    previews.set(id, preview);
    return `http://127.0.0.1:${portOf(preview)}`;
  }

  return {
    ...cloud,
    url,
    apiKey,
    async close() {
      for (const one of [server, ...previews.values()]) {
        one.closeAllConnections();
        one.close();
      }
      await cloud.close();
    },
  };
}

async function listen(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function read(req: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
