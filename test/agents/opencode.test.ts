import { mkdir, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';

import { opencode } from '../../src/agents/opencode.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';
import { startUpstream, type Upstream } from '../proxy/rig.ts';

const paths = { home: '/home/agent', workspace: '/workspace', gatewayUrl: 'http://127.0.0.1:8787' };
const binding = { paths, keyFile: '/home/agent/key', model: 'model-of-the-job', permissions: 'allow' } as const;
const configurationSchema = z.looseObject({ permission: z.record(z.string(), z.string()) });

test('OpenCode’s configuration names the gateway and the job’s model only', () => {
  const [file] = opencode.files(binding);
  expect(file?.path).toBe('/home/agent/.config/opencode/opencode.json');
  expect(JSON.parse(file?.content ?? '')).toMatchObject({
    model: 'valetkey/model-of-the-job',
    small_model: 'valetkey/model-of-the-job',
    enabled_providers: ['valetkey'],
    provider: { valetkey: { options: { baseURL: 'http://127.0.0.1:8787/v1' } } },
  });
});

test.each([
  ['allow', 'allow'],
  ['deny', 'ask'],
  ['ask', 'ask'],
] as const)('under the policy %s its commands and edits are %s', (permissions, expected) => {
  const [file] = opencode.files({ ...binding, permissions });
  const { permission } = configurationSchema.parse(JSON.parse(file?.content ?? ''));
  expect([permission['bash'], permission['edit']]).toEqual([expected, expected]);
});

test('OpenCode is launched without a base URL and a credential', () => {
  const { args, env } = opencode.launch({ nodeModules: '/opt/agent/node_modules', node: '/opt/node/bin/node', program: '/none' });
  expect(args.at(-1)).toContain('/opt/agent/node_modules/opencode-');
  expect(Object.keys(env).filter((name) => /KEY|TOKEN|BASE_URL/.test(name))).toEqual([]);
});

/** The plugin as OpenCode loads it, its key file, and a gateway that does what a test says. */
let folder: string;
let gateway: Upstream;
let listener: (req: IncomingMessage, res: ServerResponse) => void | Promise<void>;
beforeEach(async () => {
  folder = await temporaryFolder();
  gateway = await startUpstream((req, res) => void listener(req, res));
  await writeKey('first-key');
});
afterEach(() => gateway.close());

test('each request carries the key that is in the file at that moment', async () => {
  const seen = await record(200);
  const ask = await loadFetch();
  await ask(gateway.url);
  await writeKey('second-key');
  expect(await (await ask(gateway.url)).text()).toBe(WHOLE);
  expect(seen).toEqual(['Bearer first-key', 'Bearer second-key']);
});

test('a refused request is sent again if the key has changed meanwhile, and only then', async () => {
  const seen: (string | undefined)[] = [];
  listener = async ({ headers }, res) => {
    seen.push(headers.authorization);
    if (seen.length === 1) await writeKey('second-key');
    res.writeHead(headers.authorization === 'Bearer second-key' && seen.length < 3 ? 200 : 401).end();
  };
  const ask = await loadFetch();
  expect((await ask(gateway.url)).status).toBe(200);
  expect(seen).toEqual(['Bearer first-key', 'Bearer second-key']);
  expect((await ask(gateway.url)).ok).toBe(false);
  expect(seen).toHaveLength(3);
});

test.each([401, 402, 403, 429, 500, 503, 504])('a status %i is reported as permanent, without its body', async (status) => {
  await record(status);
  const response = await (await loadFetch())(gateway.url);
  expect(response.status).toBe(400);
  expect(response.headers.get('retry-after')).toBeNull();
  expect(await response.text()).not.toContain('answer');
});

/** What OpenCode 1.18 takes for a passing failure, by its text. */
const PASSING = /\d{3}|terminated|fetch failed|network|socket|connection|reset|timed? ?out|rate limit|unavailable|exhausted|overloaded/i;

const WHOLE = 'data: {"choices":[{"delta":{"content":"answer"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';

test.each([
  ['breaks off', 'half', true],
  ['ends early', 'data: {"choices":[{"delta":{"content":"half"},"finish_reason":null}]}\n\n', false],
  ['reports an error', 'data: {"error":{"message":"overloaded"}}\n\n', false],
])('an answer that %s is requested again by OpenCode twice, and not a third time', async (_how, body, breaks) => {
  listener = (_req, res) => {
    res.writeHead(200).write(body);
    setImmediate(() => (breaks ? res.destroy() : res.end()));
  };
  const ask = await loadFetch();
  const tell = async (): Promise<string> => String(await (await ask(gateway.url)).text().catch((error: unknown) => error));
  for (const isPassing of [true, true, false, true]) expect(PASSING.test(await tell())).toBe(isPassing);
  listener = (_req, res) => void res.end(WHOLE);
  expect(await tell()).toBe(WHOLE);
});

test('a cancelled request ends as cancelled', async () => {
  listener = () => {};
  const stop = new AbortController();
  const asking = (await loadFetch())(gateway.url, { signal: stop.signal });
  await gateway.next();
  stop.abort();
  await expect(asking).rejects.toMatchObject({ name: 'AbortError' });
});

function writeKey(key: string): Promise<void> {
  return writeFile(join(folder, 'key'), `${key}\n`);
}

/** Answers all with a status; resolves to the credentials that come. */
async function record(status: number): Promise<string[]> {
  const seen: string[] = [];
  listener = async (req, res) => {
    seen.push(req.headers.authorization ?? '');
    await text(req);
    res.writeHead(status, { 'retry-after': '60' }).end(WHOLE);
  };
  return seen;
}

const pluginSchema = z.object({
  valetkey: z.function({ input: [], output: z.promise(z.object({ config: z.custom<(config: object) => Promise<void>>() })) }),
});

/** What the plugin makes OpenCode's provider send its requests with. */
async function loadFetch(): Promise<typeof fetch> {
  const file = opencode.files({ ...binding, keyFile: join(folder, 'key') }).find(({ path }) => path.endsWith('/plugin/valetkey.js'));
  await mkdir(join(folder, 'plugin'), { recursive: true });
  const path = join(folder, 'plugin/valetkey.mjs');
  await writeFile(path, file?.content ?? '');
  const { valetkey } = pluginSchema.parse(await import(pathToFileURL(path).href));
  const options: { fetch?: typeof fetch } = {};
  await (await valetkey()).config({ provider: { valetkey: { options } } });
  if (options.fetch === undefined) throw new Error('the plugin set no fetch');
  return options.fetch;
}
