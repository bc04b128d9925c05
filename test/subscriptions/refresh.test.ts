/** A plan's access token is refreshed once, whichever replicas want it, and nothing of it is shown. */
import { readFile } from 'node:fs/promises';

import { afterEach, describe, expect, test } from 'vitest';

import { startGatewayProcess } from './gateway-process.ts';
import { codeOf, startPlanRig, statuses, TOKEN, type PlanRig } from './rig.ts';

let rig: PlanRig;
afterEach(async () => {
  const holdsToken = (await log()).includes(TOKEN);
  await rig.close();
  if (holdsToken) throw new Error('The log holds a token.');
});

const log = async (): Promise<string> => readFile(rig.logFile, 'utf8').catch(() => '');
const rotated = (): number => rig.oauth.calls.filter(({ outcome }) => outcome === 'rotated').length;
const sent = (): (string | undefined)[] => rig.received.map(({ headers }) => String(headers['authorization']).replace('Bearer ', ''));

describe('what the provider receives', () => {
  test('Claude: the access token as a bearer token, with the beta that it needs and no x-api-key', async () => {
    rig = await startPlanRig({ provider: 'anthropic' });
    const login = rig.oauth.login();
    await rig.store(login);
    expect((await rig.ask()).status).toBe(200);
    const [{ path, headers } = { path: '', headers: {} }] = rig.received;
    expect({ path, authorization: headers['authorization'], beta: headers['anthropic-beta'], apiKey: headers['x-api-key'] }).toEqual({
      path: '/v1/messages',
      authorization: `Bearer ${login.accessToken}`,
      beta: 'oauth-2025-04-20',
      apiKey: undefined,
    });
    expect(headers).not.toHaveProperty('chatgpt-account-id');
  });

  test('ChatGPT: the access token with its account, below the URL of plans', async () => {
    rig = await startPlanRig({ provider: 'openai' });
    const { accountId: _stated, ...login } = rig.oauth.login({ account: 'account-of-the-plan' });
    await rig.store(login);
    expect((await rig.ask()).status).toBe(200);
    const [{ path, headers } = { path: '', headers: {} }] = rig.received;
    expect({ path, authorization: headers['authorization'], account: headers['chatgpt-account-id'] }).toEqual({
      path: '/backend-api/codex/responses',
      authorization: `Bearer ${login.accessToken}`,
      account: 'account-of-the-plan',
    });
    const chat = await rig.ask(0, '/v1/chat/completions');
    expect([chat.status, codeOf(chat)]).toEqual([400, 'llm_rejected']);
    expect(rig.received).toHaveLength(1);
  });
});

test.each([
  ['byok', { strategy: 'byok', name: 'subscription' }, 'subscription'],
  ['gateway', { strategy: 'gateway', gateway: 'builtin' }, 'default'],
] as const)(
  'a login that takes the place of an API key is not sent for the strategy %s, nor anything else',
  async (_what, credential, name) => {
    rig = await startPlanRig({ provider: 'anthropic' });
    await rig.store(rig.oauth.login(), name);
    const [proxy] = rig.proxies;
    const key = await proxy?.mint({ credential });
    const answer = await rig.ask(0, '/v1/messages', key);
    expect([answer.status, codeOf(answer)]).toEqual([403, 'llm_unauthorized']);
    expect(rig.received).toEqual([]);
  },
);

test('an API key that takes the place of a login is not sent for the strategy subscription', async () => {
  rig = await startPlanRig({ provider: 'anthropic' });
  await rig.storeApiKey('an-api-key');
  const answer = await rig.ask();
  expect([answer.status, codeOf(answer), rig.received.length]).toEqual([403, 'llm_unauthorized', 0]);
});

describe.each(['anthropic', 'openai'] as const)('the token endpoint of %s', (provider) => {
  test('is asked once by twenty requests over three proxies, when the access token has expired', async () => {
    rig = await startPlanRig({ provider });
    const login = rig.oauth.login({ expiresInMs: 1_000 });
    await rig.store(login);
    expect(statuses(await rig.askTwenty())).toEqual([200]);
    expect(rig.oauth.calls.map(({ outcome }) => outcome)).toEqual(['rotated']);
    expect(new Set(sent()).size).toBe(1);
    expect(sent()[0]).not.toBe(login.accessToken);
    expect((await rig.versions()).map(({ version }) => version)).toEqual([2, 1]);
    await expect.poll(log).toContain('A login was refreshed.');
  });

  test('is asked once when the provider refuses an access token that has not expired, and every request goes on', async () => {
    rig = await startPlanRig({ provider });
    const login = rig.oauth.login();
    await rig.store(login);
    rig.oauth.revokeAccess(login.accessToken);
    expect(statuses(await rig.askTwenty())).toEqual([200]);
    expect(rig.oauth.calls.map(({ outcome }) => outcome)).toEqual(['rotated']);
  });

  test('refuses the refresh token: the login is marked, and the next requests are refused at once, until there is a new login', async () => {
    rig = await startPlanRig({ provider });
    const login = rig.oauth.login({ expiresInMs: 1_000 });
    await rig.store(login);
    rig.oauth.revokeFamily(login);
    const answers = await rig.askTwenty();
    expect([statuses(answers), [...new Set(answers.map(codeOf))]]).toEqual([[403], ['credential_needs_login']]);
    expect(rig.oauth.calls).toHaveLength(1);
    const startedMs = performance.now();
    expect(codeOf(await rig.ask(2))).toBe('credential_needs_login');
    expect(performance.now() - startedMs).toBeLessThan(500);
    expect([rig.oauth.calls.length, rig.received.length]).toEqual([1, 0]);
    expect((await rig.versions())[0]?.needs_login_at).toBeInstanceOf(Date);
    await rig.store(rig.oauth.login());
    expect(statuses(await rig.askTwenty())).toEqual([200]);
  });
});

test('a login that is about to expire is refreshed once, while requests still send its access token', async () => {
  rig = await startPlanRig({ provider: 'anthropic' });
  const login = rig.oauth.login({ expiresInMs: 60_000 });
  await rig.store(login);
  rig.oauth.faults.push({ delayMs: 1_000 });
  const startedMs = performance.now();
  expect(statuses(await rig.askTwenty())).toEqual([200]);
  expect(performance.now() - startedMs).toBeLessThan(1_000);
  expect(new Set(sent())).toEqual(new Set([login.accessToken]));
  await expect.poll(async () => (await rig.ask(1), sent().at(-1)), { timeout: 5_000 }).not.toBe(login.accessToken);
  expect(rotated()).toBe(1);
});

test('a provider that refuses each new access token, too, is not asked for more', async () => {
  rig = await startPlanRig({ provider: 'anthropic' });
  await rig.store(rig.oauth.login());
  rig.refusesAll = true;
  const isRefused = async (proxy: number): Promise<void> => {
    const answer = await rig.ask(proxy);
    expect([answer.status, codeOf(answer)]).toEqual([403, 'llm_unauthorized']);
    expect(answer.text).not.toContain(TOKEN);
  };
  await isRefused(0);
  await isRefused(0);
  expect(await rig.proxies[0]?.tries(rig.key)).toEqual([2, 1]);
  // The others may still have the access token that was refreshed; once they have the new one, they send that alone.
  for (const proxy of [1, 2]) {
    const lastTries = async (): Promise<number | undefined> => {
      await isRefused(proxy);
      return (await rig.proxies[0]?.tries(rig.key))?.at(-1);
    };
    await expect.poll(lastTries).toBe(1);
  }
  expect(rotated()).toBe(1);
});

test('an access token without a refresh token is sent until it expires, and refused from then on', async () => {
  rig = await startPlanRig({ provider: 'anthropic' });
  const { refreshToken: _none, ...login } = rig.oauth.login({ expiresInMs: 2_000 });
  await rig.store(login);
  expect((await rig.ask()).status).toBe(200);
  await expect.poll(async () => codeOf(await rig.ask()), { timeout: 5_000 }).toBe('credential_needs_login');
  expect(rig.oauth.calls).toEqual([]);
});

test.each(['lost-request', 'server-error', 'malformed', 'redirect'] as const)('after %s the refresh is repeated', async (fault) => {
  rig = await startPlanRig({ provider: 'anthropic' });
  await rig.store(rig.oauth.login({ expiresInMs: 1_000 }));
  rig.oauth.faults.push(fault);
  expect(statuses(await rig.askTwenty())).toEqual([200]);
  expect(rig.oauth.calls.map(({ outcome }) => outcome)).toEqual(['faulty', 'rotated']);
});

test('after a lost answer the login goes on where the provider accepts the refresh token again for a while', async () => {
  rig = await startPlanRig({ provider: 'anthropic', graceMs: 10_000 });
  await rig.store(rig.oauth.login({ expiresInMs: 1_000 }));
  rig.oauth.faults.push('lost-answer');
  expect(statuses(await rig.askTwenty())).toEqual([200]);
  expect(rig.oauth.calls.map(({ outcome }) => outcome)).toEqual(['rotated', 'repeated']);
});

test('after a lost answer the login has to be made again where the provider takes the repeat for a theft', async () => {
  rig = await startPlanRig({ provider: 'openai' });
  await rig.store(rig.oauth.login({ expiresInMs: 1_000 }));
  rig.oauth.faults.push('lost-answer');
  const answers = await rig.askTwenty();
  expect([...new Set(answers.map(codeOf))]).toEqual(['credential_needs_login']);
  expect(rig.oauth.calls.map(({ outcome }) => outcome)).toEqual(['rotated', 'reused']);
});

test('a token endpoint that is down refuses the requests as a failure of the provider, and the login recovers with it', async () => {
  rig = await startPlanRig({ provider: 'anthropic' });
  await rig.store(rig.oauth.login({ expiresInMs: 1_000 }));
  rig.oauth.faults.push('server-error', 'server-error', 'server-error');
  const refused = await rig.ask();
  expect([refused.status, codeOf(refused)]).toEqual([502, 'llm_failed']);
  expect((await rig.versions())[0]?.needs_login_at).toBeNull();
  expect((await rig.ask(1)).status).toBe(200);
});

test('twenty refreshes one after the other leave two versions: the one in use and the one before', async () => {
  rig = await startPlanRig({ provider: 'anthropic', lifetimeMs: 5_000 });
  await rig.store(rig.oauth.login());
  for (let index = 0; index < 20; index += 1) expect((await rig.ask(0)).status).toBe(200);
  expect(rotated()).toBe(20);
  expect(rig.oauth.calls).toHaveLength(20);
  const versions = await rig.versions();
  expect(versions.map(({ version }) => version)).toEqual([21, 20]);
  for (const { sealed } of versions) expect(sealed).not.toContain(TOKEN);
});

describe('a refresher that is killed while it holds the lease', () => {
  test.each([
    ['before the token endpoint acted: the others refresh once the lease ends', { holdMs: 30_000 } as const, 0, 'rotated'],
    ['after the token endpoint acted: a provider with a grace period repeats its answer', { delayMs: 30_000 } as const, 60_000, 'repeated'],
  ])('%s', { timeout: 90_000 }, async (_what, fault, graceMs, second) => {
    rig = await startPlanRig({ provider: 'anthropic', graceMs });
    await rig.store(rig.oauth.login({ expiresInMs: 1_000 }));
    const gateway = await startGatewayProcess(rig);
    rig.oauth.faults.push(fault);
    const lost = gateway.ask().catch(() => null);
    await expect.poll(() => rig.oauth.calls.length).toBe(1);
    gateway.kill();
    await lost;
    const startedMs = performance.now();
    expect(statuses(await rig.askTwenty())).toEqual([200]);
    expect((performance.now() - startedMs) / 1000).toBeLessThan(17);
    expect(rig.oauth.calls.slice(1).map(({ outcome }) => outcome)).toEqual([second]);
  });
});

test('a gateway that is asked to stop while it refreshes stores the new tokens first', async () => {
  rig = await startPlanRig({ provider: 'anthropic' });
  await rig.store(rig.oauth.login({ expiresInMs: 60_000 }));
  const gateway = await startGatewayProcess(rig);
  rig.oauth.faults.push({ delayMs: 2_000 });
  expect((await gateway.ask()).status).toBe(200);
  await gateway.stop();
  expect((await rig.versions()).map(({ version }) => version)).toEqual([2, 1]);
});
