import type { IncomingMessage, ServerResponse } from 'node:http';

import { z } from 'zod';

import { parseJson } from '../../../src/contract/json.ts';
import type { Cloud, CloudSandbox } from '../remote/cloud.ts';
import { answer, type Answer } from '../remote/faults.ts';
import { JSON_TYPE, readBody } from '../remote/http.ts';

const MINUTE_MS = 60_000;
const PAGE = 2;
/** A sandbox without a time to live. */
const FOREVER_MS = 100 * 365 * 24 * 60 * MINUTE_MS;

const labelsSchema = z.record(z.string(), z.string());
const createSchema = z.looseObject({
  name: z.string(),
  snapshot: z.string(),
  labels: labelsSchema.default({}),
  ttlMinutes: z.number().default(0),
  networkAllowList: z.string().optional(),
  domainAllowList: z.string().optional(),
  secrets: z.array(labelsSchema).default([]),
});
const secretSchema = z.object({ name: z.string() });
const executeSchema = z.object({ command: z.string() });

export interface Account {
  apiKey: string;
  url: string;
  /** Names of the organization’s secrets. */
  secrets: Set<string>;
  previewOf(sandbox: CloudSandbox, port: number): Promise<string>;
}

/** Answers a request to the vendor’s API, or to the toolbox of a sandbox. */
export async function answerApi(cloud: Cloud, account: Account, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(req.url ?? '', account.url);
  const body = await readBody(req);
  const json = req.headers['content-type'] === 'application/json' ? (parseJson(body.toString()) ?? {}) : {};
  cloud.requests.push({ line: `${req.method} ${pathname}`, body: json });
  if (req.headers.authorization !== `Bearer ${account.apiKey}`) return void res.writeHead(401, JSON_TYPE).end('{"statusCode":401}');
  const { faults } = cloud;
  const [, area = '', id = '', ...rest] = pathname.split('/');
  const found = cloud.sandboxes.get(id) ?? [...cloud.sandboxes.values()].find(({ name }) => name === id);
  const known = (act: (sandbox: CloudSandbox) => Answer | Promise<Answer>) => async (): Promise<Answer> =>
    found === undefined ? { status: 404, body: { statusCode: 404, message: 'not found' } } : act(found);
  const route = [req.method, area, ...(id === '' ? [] : ['ID']), ...rest.map((part) => (/^\d+$/.test(part) ? 'N' : part))].join(' ');
  switch (route) {
    case 'POST secret': {
      const { name } = secretSchema.parse(json);
      const status = account.secrets.has(name) ? 409 : 201;
      account.secrets.add(name);
      return void res.writeHead(status, JSON_TYPE).end('{}');
    }
    case 'POST sandbox':
      return answer(res, faults.take('create'), () => create(cloud, account, json));
    case 'GET sandbox': {
      const fault = faults.take('list');
      return answer(res, fault, () => Promise.resolve(list(cloud, account, searchParams, fault?.is === 'missing')));
    }
    case 'GET sandbox ID':
      return answer(
        res,
        faults.take('find'),
        known((sandbox) => ({ status: 200, body: described(account, sandbox) })),
      );
    case 'DELETE sandbox ID':
      return answer(
        res,
        faults.take('kill'),
        known(async (sandbox) => {
          await cloud.kill(sandbox.id);
          return { status: 200, body: {} };
        }),
      );
    case 'POST sandbox ID ttl N':
      return answer(
        res,
        faults.take('extend'),
        known((sandbox) => {
          sandbox.endsAt = new Date(Date.now() + Number(rest[1]) * MINUTE_MS);
          return { status: 200, body: described(account, sandbox) };
        }),
      );
    case 'GET sandbox ID ports N preview-url':
      return answer(
        res,
        faults.take('address'),
        known(async (sandbox) => {
          const url = await account.previewOf(sandbox, Number(rest[1]));
          return { status: 200, body: { sandboxId: sandbox.id, url, token: sandbox.portToken } };
        }),
      );
    case 'POST toolbox ID files upload-v2':
      return answer(
        res,
        faults.take('write'),
        inside(found, async ({ machine }) => {
          await machine.writeFile(searchParams.get('path') ?? '', body);
          return { status: 200, body: {} };
        }),
      );
    case 'POST toolbox ID process execute':
      return answer(
        res,
        faults.take('run'),
        inside(found, async ({ machine }) => {
          const { command } = executeSchema.parse(json);
          return { status: 200, body: { exitCode: await machine.run(command), result: '' } };
        }),
      );
    case 'GET toolbox ID files download': {
      const content = await found?.machine.readFile(searchParams.get('path') ?? '').catch(() => undefined);
      if (content === undefined) return void res.writeHead(502, JSON_TYPE).end('{}');
      return void (content === null ? res.writeHead(404, JSON_TYPE).end('{}') : res.writeHead(200).end(content));
    }
    default:
      return void res.writeHead(404, JSON_TYPE).end('{"statusCode":404}');
  }
}

/** What the toolbox of a sandbox does; the edge answers where it does not. */
function inside(found: CloudSandbox | undefined, act: (sandbox: CloudSandbox) => Promise<Answer>): () => Promise<Answer> {
  return async () => {
    if (found?.state !== 'started') return { status: 502, body: {} };
    return act(found).catch(() => ({ status: 502, body: {} }));
  };
}

async function create(cloud: Cloud, account: Account, json: unknown): Promise<Answer> {
  const wanted = createSchema.parse(json);
  const { name, snapshot, labels, ttlMinutes, networkAllowList, domainAllowList, secrets } = wanted;
  if (cloud.listed({}).some((sandbox) => sandbox.name === name))
    return { status: 409, body: { statusCode: 409, message: 'the name is taken' } };
  if (secrets.some((entry) => Object.values(entry).some((secret) => !account.secrets.has(secret))))
    return { status: 400, body: { statusCode: 400 } };
  const isOpen = networkAllowList === undefined && domainAllowList === undefined;
  const reachesGateway = isOpen || (networkAllowList ?? '').split(',').includes('127.0.0.1/32');
  const lifetimeMs = ttlMinutes === 0 ? FOREVER_MS : ttlMinutes * MINUTE_MS;
  const sandbox = await cloud.create({ name, template: snapshot, labels, request: wanted }, lifetimeMs, reachesGateway);
  sandbox.state = 'started';
  return { status: 200, body: described(account, sandbox) };
}

function list(cloud: Cloud, account: Account, query: URLSearchParams, isMissing: boolean): Answer {
  const labels = labelsSchema.parse(parseJson(query.get('labels') ?? '{}'));
  const all = isMissing ? [] : cloud.listed(labels);
  const from = Number(query.get('cursor') ?? 0);
  const items = all.slice(from, from + PAGE).map((sandbox) => described(account, sandbox));
  return { status: 200, body: { items, nextCursor: from + PAGE < all.length ? String(from + PAGE) : null } };
}

function described({ url }: Account, { id, name, labels, state, startedAt, endsAt }: CloudSandbox) {
  return {
    ...{ id, name, labels, state, desiredState: 'started', toolboxProxyUrl: `${url}/toolbox` },
    ...{ createdAt: startedAt.toISOString(), autoDestroyAt: endsAt.toISOString() },
  };
}
