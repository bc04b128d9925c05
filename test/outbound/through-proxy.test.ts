// Behind a proxy of a company, with certificates of its own: what leaves this host goes through it, and what stays does not.
import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { NativeConnection } from '@temporalio/worker';
import { Agent, request } from 'undici';
import { afterAll, afterEach, beforeAll, expect, inject, it, vi } from 'vitest';

import { connectWhenNeeded } from '../../src/temporal/connect-when-needed.ts';
import { workerThroughProxy } from '../../src/temporal/outbound.ts';
import { newDatabase } from '../helpers/database.ts';
import { GPT, startRig } from '../proxy/rig.ts';
import { startConnectProxy, type ConnectProxy } from './connect-proxy.ts';

const run = promisify(execFile);
let folder: string;
let server: Server;
let proxy: ConnectProxy;
let ca: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vk-outbound-'));
  ca = join(folder, 'ca.pem');
  const key = join(folder, 'key.pem');
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=test'],
    ...['-addext', 'subjectAltName=DNS:provider.test,DNS:git.test', '-keyout', key, '-out', ca],
  ]);
  const repository = join(folder, 'repository.git');
  const git = async (...args: string[]) =>
    run('git', args, {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
    });
  await git('init', '--quiet', '--initial-branch=main', 'source');
  await git('-C', 'source', '-c', 'user.name=a', '-c', 'user.email=a@a', 'commit', '--quiet', '--allow-empty', '--message', 'Start');
  await git('clone', '--quiet', '--bare', 'source', 'repository.git');
  await git('-C', 'repository.git', 'update-server-info');
  server = createServer({ key: await readFile(key), cert: await readFile(ca) }, (req, res) => {
    const path = (req.url ?? '').split('?')[0] ?? '';
    if (req.method === 'POST') {
      req.resume();
      req.on('end', () =>
        res.writeHead(200, { 'content-type': 'application/json' }).end('{"usage":{"prompt_tokens":1,"completion_tokens":1}}'),
      );
      return;
    }
    readFile(join(repository, path.replace('/repository.git', ''))).then(
      (content) => res.end(content),
      () => res.writeHead(404).end(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  proxy = await startConnectProxy({
    'provider.test': port,
    'git.test': port,
    'temporal.test': Number(inject('temporal').address.split(':')[1]),
  });
});
afterAll(async () => {
  await proxy.close();
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true, force: true });
});
afterEach(() => {
  vi.unstubAllEnvs();
  proxy.asked.splice(0);
});

it('the gateway reaches its providers through the proxy, and trusts its certificates', async () => {
  const databaseUrl = await newDatabase();
  const rig = await startRig('http://127.0.0.1:1', { databaseUrl });
  const { secret } = await rig.mint();
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-gw-'));
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: databaseUrl,
    VALETKEY_STATE_DIR: stateDir,
    VALETKEY_GATEWAY_PORT: '0',
    VALETKEY_OPENAI_BASE_URL: 'https://provider.test',
    OPENAI_API_KEY: 'credential-of-the-provider',
    HTTPS_PROXY: proxy.url,
    HTTP_PROXY: proxy.url,
    NODE_EXTRA_CA_CERTS: ca,
  };
  const gateway = fork(join(import.meta.dirname, '../proxy/gateway-process.ts'), { env, execArgv: [] });
  await once(gateway, 'message');
  const dispatcher = new Agent({ connect: { socketPath: join(stateDir, 'gateway', 'gateway.sock') } });
  const answer = await request('http://gateway/v1/chat/completions', {
    dispatcher,
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: GPT, messages: [{ role: 'user', content: 'hello' }] }),
  });
  expect([answer.statusCode, await answer.body.text()]).toEqual([200, expect.stringContaining('usage')]);
  expect(proxy.asked).toEqual(['provider.test:443']);
  await dispatcher.close();
  gateway.kill('SIGTERM');
  await once(gateway, 'exit');
  await rm(stateDir, { recursive: true, force: true });
  await rig.close();
});

it('a repository is cloned through the proxy', async () => {
  expect(await clone({ https_proxy: proxy.url, NODE_EXTRA_CA_CERTS: ca })).toMatch(/^[\da-f]{40}$/);
  expect(new Set(proxy.asked)).toEqual(new Set(['git.test:443']));
  await expect(clone({ https_proxy: proxy.url })).rejects.toThrow('certificate is not trusted on the worker’s host');
});

it('Temporal is reached through the proxy, by clients and by workers', async () => {
  vi.stubEnv('HTTPS_PROXY', proxy.url);
  const { namespace } = inject('temporal');
  const client = connectWhenNeeded({ address: 'temporal.test:7233' }, namespace);
  await (await client.connected()).connection.workflowService.describeNamespace({ namespace });
  await client.close();
  expect(proxy.asked).toEqual(['temporal.test:7233']);
  const worker = await NativeConnection.connect(workerThroughProxy({ address: 'temporal.test:7233' }));
  await worker.workflowService.describeNamespace({ namespace });
  await worker.close();
  expect(proxy.asked).toEqual(['temporal.test:7233', 'temporal.test:7233']);
});

it.each(['https_proxy', 'HTTPS_PROXY'])('a Temporal on this host is reached directly, whatever %s says', async (variable) => {
  vi.stubEnv(variable, proxy.url);
  const { address, namespace } = inject('temporal');
  const client = connectWhenNeeded({ address }, namespace);
  await client.connected();
  await client.close();
  const worker = await NativeConnection.connect(workerThroughProxy({ address }));
  await worker.close();
  expect(proxy.asked).toEqual([]);
});

it('a proxy over TLS is refused for Temporal, since its SDK does not support one', () => {
  vi.stubEnv('HTTPS_PROXY', 'https://proxy.test:3128');
  expect(() => workerThroughProxy({ address: 'temporal.test:7233' })).toThrow(/^HTTPS_PROXY: Temporal is reached/);
});

async function clone(environment: Record<string, string>): Promise<string> {
  const env = { PATH: process.env.PATH, ...environment };
  const args = [
    fileURLToPath(new URL('./clone-process.ts', import.meta.url)),
    'https://git.test/repository.git',
    await mkdtemp(join(folder, 'clone-')),
  ];
  return (await run(process.execPath, args, { env })).stdout;
}
