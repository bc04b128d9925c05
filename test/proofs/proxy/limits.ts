import { setTimeout as sleep } from 'node:timers/promises';

import { percentile } from '../../../bench/percentile.ts';
import { begin, call, type Answer } from './call.ts';
import { check, firstOf, refusedWith, shown, type Case } from './case.ts';
import type { Gateway } from './gateway.ts';
import { open, rawRequest } from './raw.ts';
import { bodyFor, PATHS } from './requests.ts';
import type { Rig } from './rig.ts';

/** What one caller takes from the others: M6 of the review. */
export const limits: Case[] = [
  {
    name: 'M6: a key over its requests per minute gets 429 with Retry-After in the envelope of each protocol',
    isSlow: true,
    run: async (rig) => {
      const gateway = await rig.startOwn({ env: { VALETKEY_KEY_REQUESTS_PER_MINUTE: '5' } });
      for (const path of PATHS) {
        const { secret } = await rig.mint();
        const answers: Answer[] = [];
        for (let sent = 0; sent < 8; sent += 1) answers.push(await call(gateway, { path, key: secret, body: bodyFor(path) }));
        const served = answers.filter(({ status }) => status === 200).length;
        const seen = firstOf(
          () => check(served >= 4 && served <= 6, `${served} of 8 are served at a limit of 5`),
          () => limited(answers.at(-1), path),
        );
        if ((await seen) !== null) return seen;
      }
      return null;
    },
  },
  {
    name: 'M6: a key over its concurrent requests gets 429, and its place back when one ends',
    isSlow: true,
    run: async (rig) => {
      const gateway = await rig.startOwn({ env: { VALETKEY_KEY_CONCURRENT_REQUESTS: '2' } });
      const [{ secret }, other] = [await rig.mint(), await rig.mint()];
      const path = '/v1/responses';
      const before = rig.provider.requests;
      const held = [0, 1].map(() => call(gateway, { path, key: secret, body: bodyFor(path, 'late-usage.1500') }));
      while (rig.provider.requests < before + 2) await sleep(10);
      const third = await call(gateway, { path, key: secret, body: bodyFor(path) });
      const ofOther = await call(gateway, { path, key: other.secret, body: bodyFor(path) });
      const statuses = (await Promise.all(held)).map(({ status }) => status);
      // Their records follow their answers.
      await sleep(250);
      const after = await call(gateway, { path, key: secret, body: bodyFor(path) });
      return firstOf(
        () => limited(third, path),
        () => check(ofOther.status === 200, `another key gets ${shown(ofOther)}`),
        () =>
          check(
            statuses.every((status) => status === 200),
            `those that ran got ${statuses.join(', ')}`,
          ),
        () => check(after.status === 200, `after them: ${shown(after)}`),
      );
    },
  },
  {
    name: 'M6: the requests per minute of a tenant are exact over two gateways, and another tenant is served',
    isSlow: true,
    run: async (rig) => {
      const env = { VALETKEY_TENANT_REQUESTS_PER_MINUTE: '30' };
      const gateways = await Promise.all([rig.startOwn({ env }), rig.startOwn({ env })]);
      const tenant = `busy-${Date.now()}`;
      const keys = await Promise.all(Array.from({ length: 4 }, async () => rig.mint({ tenant })));
      const startedMs = performance.now();
      const answers = await Promise.all(
        Array.from({ length: 120 }, async (_, index) => {
          const gateway = gateways[index % 2] ?? rig.gateway;
          return call(gateway, { path: PATHS[0], key: keys[index % 4]?.secret ?? '', body: bodyFor(PATHS[0]) });
        }),
      );
      const served = answers.filter(({ status }) => status === 200).length;
      const most = 30 + Math.ceil(((performance.now() - startedMs) / 60_000) * 30) + 1;
      const { secret } = await rig.mint({ tenant: 'quiet' });
      const quiet = await call(gateways[0], { path: PATHS[0], key: secret, body: bodyFor(PATHS[0]) });
      return firstOf(
        () => check(served >= 29 && served <= most, `${served} are served at a limit of 30`),
        () =>
          limited(
            answers.find(({ status }) => status !== 200),
            PATHS[0],
          ),
        () => check(quiet.status === 200, `another tenant gets ${shown(quiet)}`),
      );
    },
  },
  {
    name: 'M6: 400 connections without a key, 50 look-ups each: an honest caller has a p95 under 1 s and no failure',
    isSlow: true,
    run: async (rig) => {
      const { secret } = await rig.mint();
      const lookUps = rawRequest('GET /v1/models HTTP/1.1', ['authorization: Bearer nobody']).repeat(50);
      const sockets = Array.from({ length: 400 }, () => open(rig.gateway));
      for (const socket of sockets) socket.on('data', () => {}).write(lookUps);
      const answers = await inTurn(rig.gateway, secret, 40);
      for (const socket of sockets) socket.destroy();
      const failures = answers.filter(({ status }) => status !== 200);
      const p95 = percentile(
        answers.map(({ ms }) => ms),
        95,
      );
      return firstOf(
        () =>
          check(failures.length === 0, `${failures.length} fail, the first with ${failures[0] === undefined ? '' : shown(failures[0])}`),
        () => check(p95 < 1_000, `a p95 of ${Math.round(p95)} ms`),
      );
    },
  },
  ...[false, true].map((isOverSocket) => ({
    name: `M6: 300 descriptors and 400 idle connections ${isOverSocket ? 'on the socket' : 'over TCP'}: a new client on the socket is served`,
    isSlow: true,
    run: async (rig: Rig) => {
      const gateway = await rig.startOwn({ descriptors: 300, env: { VALETKEY_GATEWAY_MAX_CONNECTIONS: '120' } });
      const { secret } = await rig.mint();
      const idle = Array.from({ length: 400 }, () => open(gateway, isOverSocket));
      await sleep(1_000);
      const what = { path: PATHS[0], key: secret, body: bodyFor(PATHS[0]), isOverSocket: true, timeoutMs: 10_000 };
      const answers = await Promise.all(
        Array.from({ length: 5 }, async () => call(gateway, what).catch((error: unknown) => String(error))),
      );
      for (const socket of idle) socket.destroy();
      const failed = answers.filter((answer) => typeof answer === 'string' || answer.status !== 200);
      const [first] = failed;
      return check(
        first === undefined,
        `${failed.length} of 5 fail: ${typeof first === 'string' || first === undefined ? first : shown(first)}`,
      );
    },
  })),
  {
    name: 'M6: silent providers hold no place of a caller that has left',
    isSlow: true,
    run: async (rig) => {
      const gateway = await rig.startOwn({ env: { VALETKEY_KEY_CONCURRENT_REQUESTS: '5', VALETKEY_GATEWAY_DRAIN_TIMEOUT: '1s' } });
      const { secret } = await rig.mint();
      const before = rig.provider.requests;
      const held = Array.from({ length: 5 }, () => begin(gateway, { path: PATHS[0], key: secret, body: bodyFor(PATHS[0], 'silent') }));
      while (rig.provider.requests < before + 5) await sleep(10);
      for (const req of held) req.destroy();
      await sleep(2_500);
      const answer = await call(gateway, { path: PATHS[0], key: secret, body: bodyFor(PATHS[0]) });
      return check(answer.status === 200, shown(answer));
    },
  },
];

async function limited(answer: Answer | undefined, path: string): Promise<string | null> {
  if (answer === undefined) return 'none is refused';
  return firstOf(
    () => refusedWith(answer, 429, 'rate_limited'),
    () => check(/^\d+$/.test(answer.headers['retry-after'] ?? ''), `retry-after is ${answer.headers['retry-after']}`),
    () => check(path !== PATHS[0] || answer.text.startsWith('{"type":"error"'), `not Anthropic’s envelope: ${answer.text}`),
  );
}

async function inTurn(gateway: Gateway, key: string, times: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let sent = 0; sent < times; sent += 1) answers.push(await call(gateway, { path: PATHS[0], key, body: bodyFor(PATHS[0]) }));
  return answers;
}
