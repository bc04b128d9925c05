/** Jobs on a plan: the agent's turn goes on while its login is refreshed, and a job whose login is over is refused. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';

import { loadConfig } from '../../src/config/config.ts';
import type { Dialect } from '../../src/contract/dialect.ts';
import { withScript } from '../../src/dev/scripted-model/script.ts';
import { startScriptedModel, type ScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { startStack, type Stack } from '../../src/dev/stack.ts';
import type { Login } from '../../src/secrets/login.ts';
import { sealLogin } from '../../src/secrets/seal-login.ts';
import { seal } from '../../src/secrets/seal.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { startOauthServer, type OauthServer } from '../fakes/oauth/server.ts';
import { newDatabase } from '../helpers/database.ts';
import { killSandboxes } from '../helpers/sandbox-remains.ts';
import { expectNoSecrets, findSecrets } from '../helpers/secrets.ts';
import { jobSpec } from '../helpers/stack.ts';

const { privateKey, publicKey } = await generateSealingKey();
const PROVIDERS = { codex: 'openai', claude: 'anthropic' } as const;

let oauth: Record<Dialect, OauthServer>;
let model: ScriptedModel;
let provider: PlanProvider;
let stack: Stack;

beforeAll(async () => {
  oauth = { anthropic: await startOauthServer({ provider: 'anthropic' }), openai: await startOauthServer({ provider: 'openai' }) };
  model = await startScriptedModel();
  provider = await startPlanProvider();
  const config = loadConfig({
    PATH: process.env.PATH,
    DATABASE_URL: await newDatabase(),
    VALETKEY_TASK_QUEUE: `plans-${randomUUID()}`,
    VALETKEY_ANTHROPIC_BASE_URL: provider.url,
    VALETKEY_CHATGPT_BASE_URL: `${provider.url}/v1`,
    VALETKEY_ANTHROPIC_TOKEN_URL: oauth.anthropic.url,
    VALETKEY_OPENAI_TOKEN_URL: oauth.openai.url,
    VALETKEY_SEALING_KEY: privateKey,
    VALETKEY_SEALING_PUBLIC_KEY: publicKey,
    VALETKEY_LOG_LEVEL: 'debug',
  });
  stack = await startStack({ report: () => {}, config, live: true, temporal: { ...inject('temporal'), uiUrl: null } });
});
afterAll(async () => {
  await expectNoSecrets(stack);
  await killSandboxes(stack);
  await stack.stop();
  provider.close();
  await model.close();
  for (const server of Object.values(oauth)) await server.close();
});

describe.each(['codex', 'claude'] as const)('%s', (agent) => {
  const server = (): OauthServer => oauth[PROVIDERS[agent]];

  test('works on while its access token expires in the middle of a turn', { timeout: 120_000 }, async () => {
    const { calls, faults } = server();
    const from = calls.length;
    const login = server().login({ expiresInMs: 30_000 });
    // The first answer takes until the token has expired, and it is not refreshed before.
    provider.holdUntilMs = (login.expiresAt ?? 0) + 200;
    faults.push(...Array.from({ length: 100 }, () => 'server-error' as const));
    setTimeout(() => faults.splice(0), provider.holdUntilMs - Date.now() - 100);
    const job = await run(agent, login, [{ run: 'true' }, { say: 'Done.' }]);
    expect(job).toMatchObject({ outcome: 'completed', turns: [{ stopReason: 'end_turn' }] });
    expect(calls.slice(from).filter(({ outcome }) => outcome !== 'faulty')).toMatchObject([{ outcome: 'rotated' }]);
    expect(new Set(job.tokens).size).toBe(2);
    expect(job.tokens[0]).toBe(login.accessToken);
    expect(job.usage.usd).toBeGreaterThan(0);
  });

  test('works on while the provider revokes its access token in the middle of a turn', { timeout: 120_000 }, async () => {
    const login = server().login();
    const job = await run(agent, login, [{ run: 'sleep 2' }, { say: 'Done.' }], () => server().revokeAccess(login.accessToken));
    expect(job.outcome).toBe('completed');
    expect(new Set(job.tokens).size).toBe(2);
  });

  test('fails with an error that names the login, once the provider has logged its user out', { timeout: 120_000 }, async () => {
    const login = server().login();
    const name = `login-${randomUUID()}`;
    const job = await run(agent, login, [{ run: 'sleep 2' }, { say: 'Done.' }], () => server().revokeFamily(login), name);
    expect(job).toMatchObject({ outcome: 'failed', failure: { code: 'credential_needs_login' } });
    expect(job.failure?.message).toContain(`the login ${name} of the tenant acme`);
    const listed = (await stack.client.credentials.list()).find((stored) => stored.name === name);
    expect(listed).toMatchObject({
      kind: 'oauth',
      state: 'needs_login',
      version: 1,
      expiresAt: new Date(login.expiresAt ?? 0).toISOString(),
    });
    await expect(submit(agent, name)).rejects.toMatchObject({
      code: 'credential_needs_login',
      message: expect.stringContaining(`login ${name}`) as unknown,
    });
  });
});

describe('a job is refused when it is submitted', () => {
  test.each<[string, () => Promise<string>, string, RegExp]>([
    ['without a login', async () => 'none', 'credential_not_found', /has no credential none for openai/],
    [
      'with a login that has expired and cannot be refreshed',
      async () => storeLogin({ accessToken: 'old-access-token', expiresAt: Date.now() - 1 }),
      'credential_needs_login',
      /has expired and has no refresh token/,
    ],
    [
      'with an API key in place of a login',
      async () => {
        const sealed = await seal('an-api-key', { purpose: 'upstream', provider: 'openai', tenant: 'acme', publicKey });
        await stack.client.credentials.add({ provider: 'openai', tenant: 'acme', name: 'key', sealed });
        return 'key';
      },
      'invalid_spec',
      /is an API key, for the strategy byok/,
    ],
  ])('%s', async (_what, nameOf, code, message) => {
    const name = await nameOf();
    await expect(submit('codex', name)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as unknown });
  });

  test('with an agent that speaks no protocol of a plan', async () => {
    const name = await storeLogin(oauth.openai.login());
    await expect(submit('opencode', name)).rejects.toMatchObject({ code: 'invalid_spec', issues: [{ path: 'credential.strategy' }] });
  });

  test('with a login in place of an API key', async () => {
    const name = await storeLogin(oauth.openai.login());
    const credential = { strategy: 'byok', name } as const;
    await expect(stack.client.jobs.submit(jobSpec({ credential }))).rejects.toMatchObject({
      code: 'invalid_spec',
      message: expect.stringContaining('is a login to a plan, for the strategy subscription') as unknown,
    });
  });
});

test('a login is stored neither for the organization nor under the name of the gateway’s credential', async () => {
  const sealed = await sealLogin(oauth.openai.login(), { provider: 'openai', tenant: 'acme', publicKey });
  const { credentials } = stack.client;
  await expect(credentials.add({ provider: 'openai', tenant: 'acme', sealed })).rejects.toMatchObject({ issues: [{ path: 'name' }] });
  await expect(credentials.add({ provider: 'openai', name: 'plan', sealed })).rejects.toMatchObject({ issues: [{ path: 'sealed' }] });
});

test('after all of this no token stands in a history, a log, an event or the store', async () => {
  expect(await findSecrets(stack, [...oauth.anthropic.issued, ...oauth.openai.issued])).toEqual([]);
});

async function storeLogin(login: Login, on: Dialect = 'openai', name = `login-${randomUUID()}`): Promise<string> {
  const sealed = await sealLogin(login, { provider: on, tenant: 'acme', publicKey });
  await stack.client.credentials.add({ provider: on, tenant: 'acme', name, sealed });
  return name;
}

async function submit(agent: 'codex' | 'claude' | 'opencode', name: string, prompt = 'Say hello.') {
  return stack.client.jobs.submit(jobSpec({ agent, budgetUsd: 10, credential: { strategy: 'subscription', name }, prompts: [prompt] }));
}

/** Runs a job with a login; `onFirst` is called once the provider has received its first request. */
async function run(
  agent: 'codex' | 'claude',
  login: Login,
  script: Parameters<typeof withScript>[1],
  onFirst = (): void => {},
  name?: string,
) {
  const from = provider.tokens.length;
  const { jobId } = await submit(agent, await storeLogin(login, PROVIDERS[agent], name), withScript('Work.', script));
  await expect.poll(() => provider.tokens.length, { timeout: 60_000 }).toBeGreaterThan(from);
  onFirst();
  return { ...(await stack.client.jobs.result(jobId)), tokens: provider.tokens.slice(from) };
}

interface PlanProvider {
  url: string;
  /** The accepted access tokens, in order. */
  tokens: string[];
  /** No request is answered before. */
  holdUntilMs: number;
  close(): void;
}

/** The scripted model behind a check of the access token, and, at ChatGPT's, of the account. */
async function startPlanProvider(): Promise<PlanProvider> {
  const tokens: string[] = [];
  const server = createServer((req, res) => {
    void buffer(req).then(async (body) => {
      const { host: _host, authorization = '', ...headers } = req.headers;
      const token = authorization.replace('Bearer ', '');
      const isClaude = oauth.anthropic.accepts(token) && String(headers['anthropic-beta']).includes('oauth-');
      const isChatgpt = oauth.openai.accepts(token) && headers['chatgpt-account-id'] !== undefined;
      if (!isClaude && !isChatgpt) return void res.writeHead(401).end();
      tokens.push(token);
      await sleep(Math.max(0, started.holdUntilMs - Date.now()));
      const passed = request(`${model.baseUrl}${req.url ?? ''}`, { method: req.method, headers }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(res);
      });
      passed.on('error', () => res.destroy());
      passed.end(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not on a port');
  const started: PlanProvider = {
    url: `http://127.0.0.1:${address.port}`,
    tokens,
    holdUntilMs: 0,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return started;
}
