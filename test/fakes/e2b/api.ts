import type { IncomingMessage, ServerResponse } from 'node:http';

import { z } from 'zod';

import { parseJson } from '../../../src/contract/json.ts';
import type { Cloud, CloudSandbox } from '../remote/cloud.ts';
import { answer, type Answer } from '../remote/faults.ts';
import { JSON_TYPE, readBody } from '../remote/http.ts';

const ENVD_VERSION = '0.6.0';
const ALL_ADDRESSES = '0.0.0.0/0';
/** The vendor’s default. */
const DEFAULT_TIMEOUT_S = 300;

const createSchema = z.looseObject({
  templateID: z.string(),
  metadata: z.record(z.string(), z.string()).default({}),
  timeout: z.number().default(DEFAULT_TIMEOUT_S),
  network: z.looseObject({ allowOut: z.array(z.string()).default([]), denyOut: z.array(z.string()).default([]) }).optional(),
});
const timeoutSchema = z.object({ timeout: z.number().optional() });

/** Answers a request to the vendor’s API. */
export async function answerApi(
  cloud: Cloud,
  { apiKey, page }: { apiKey: string; page: number },
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const url = new URL(req.url ?? '', 'http://fake');
  const json = parseJson((await readBody(req)).toString()) ?? {};
  cloud.requests.push({ line: `${req.method} ${url.pathname}`, body: json });
  if (req.headers['x-api-key'] !== apiKey) return void res.writeHead(401, JSON_TYPE).end('{"code":401,"message":"no such key"}');
  const id = /\/sandboxes\/([^/]+)/.exec(url.pathname)?.[1] ?? '';
  const found = cloud.sandboxes.get(id);
  const known = (act: (sandbox: CloudSandbox) => Answer | Promise<Answer>) => async (): Promise<Answer> =>
    found === undefined ? { status: 404, body: { code: 404, message: 'not found' } } : act(found);
  switch (`${req.method} ${url.pathname.replace(/\/sandboxes\/[^/]+/, '/sandboxes/ID')}`) {
    case 'POST /v2/sandboxes':
      return answer(res, cloud.faults.take('create'), async () => ({ status: 201, body: opened(await create(cloud, json)) }));
    case 'GET /v2/sandboxes': {
      const fault = cloud.faults.take('list');
      return answer(res, fault, () => Promise.resolve(list(cloud, url, page, fault?.is === 'missing')));
    }
    case 'POST /v2/sandboxes/ID/connect':
      return answer(
        res,
        cloud.faults.take('address'),
        known((sandbox) => {
          extend(sandbox, json);
          sandbox.state = 'running';
          return { status: 200, body: opened(sandbox) };
        }),
      );
    case 'GET /sandboxes/ID':
      return answer(
        res,
        cloud.faults.take('find'),
        known((sandbox) => ({ status: 200, body: described(sandbox) })),
      );
    case 'POST /sandboxes/ID/timeout':
      return answer(
        res,
        cloud.faults.take('extend'),
        known((sandbox) => {
          extend(sandbox, json);
          return { status: 204 };
        }),
      );
    case 'DELETE /sandboxes/ID':
      return answer(
        res,
        cloud.faults.take('kill'),
        known(async () => {
          await cloud.kill(id);
          return { status: 204 };
        }),
      );
    default:
      return void res.writeHead(404, JSON_TYPE).end('{"code":404,"message":"no such route"}');
  }
}

async function create(cloud: Cloud, json: unknown): Promise<CloudSandbox> {
  const wanted = createSchema.parse(json);
  const { network } = wanted;
  const reachesGateway = network?.denyOut.includes(ALL_ADDRESSES) !== true || network.allowOut.includes('127.0.0.1');
  const sandbox = { name: '', template: wanted.templateID, labels: wanted.metadata, request: wanted };
  return cloud.create(sandbox, wanted.timeout * 1_000, reachesGateway);
}

function list(cloud: Cloud, url: URL, page: number, isMissing: boolean): Answer {
  const pairs = new URLSearchParams(url.searchParams.get('metadata') ?? '');
  const labels = Object.fromEntries([...pairs].map(([name, value]) => [decodeURIComponent(name), decodeURIComponent(value)]));
  const states = (url.searchParams.get('state') ?? 'running').split(',');
  const all = isMissing ? [] : cloud.listed(labels).filter(({ state }) => states.includes(state));
  const from = Number(url.searchParams.get('nextToken') ?? 0);
  const headers: Record<string, string> = from + page < all.length ? { 'x-next-token': String(from + page) } : {};
  return { status: 200, body: all.slice(from, from + page).map(described), headers };
}

function extend(sandbox: CloudSandbox, json: unknown): void {
  const { timeout } = timeoutSchema.parse(json);
  if (timeout !== undefined) sandbox.endsAt = new Date(Date.now() + timeout * 1_000);
}

function opened({ id, template, programToken, portToken }: CloudSandbox) {
  const ids = { sandboxID: id, templateID: template, clientID: 'fake' };
  return { ...ids, envdVersion: ENVD_VERSION, envdAccessToken: programToken, trafficAccessToken: portToken };
}

function described({ id, template, labels, state, startedAt, endsAt }: CloudSandbox) {
  return {
    ...{ sandboxID: id, templateID: template, clientID: 'fake', metadata: labels, state, envdVersion: ENVD_VERSION },
    ...{ startedAt: startedAt.toISOString(), endAt: endsAt.toISOString(), cpuCount: 2, memoryMB: 1024, diskSizeMB: 1024 },
  };
}
