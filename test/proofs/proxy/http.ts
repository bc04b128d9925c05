import getPort from 'get-port';

import { check, firstOf, type Case } from './case.ts';
import { LARGE, MB } from './large-bodies.ts';
import { mark } from './provider.ts';
import { exchange, rawPost, rawRequest } from './raw.ts';
import { bodyFor } from './requests.ts';
import type { Rig } from './rig.ts';
import { smuggling } from './smuggling.ts';

/** Messages that are no good HTTP, and what else the gateway answers: minors of the review, and what held. */
export const http: Case[] = [
  ...smuggling,
  ...Object.entries({
    'no HTTP': 'hello there\r\n\r\n',
    'a version that is unknown': 'GET /v1/models HTTP/9.9\r\nhost: g\r\n\r\n',
    'a header without a colon': 'GET /v1/models HTTP/1.1\r\nhost: g\r\nnonsense\r\n\r\n',
    'a length that is no number': 'POST /v1/messages HTTP/1.1\r\nhost: g\r\ncontent-length: x\r\n\r\n',
    'a null byte in a header': 'GET /v1/models HTTP/1.1\r\nhost: g\r\nx-a: a\u0000b\r\n\r\n',
  }).map(([what, bytes]) => ({
    name: `a message with ${what} gets 400 and a clean close`,
    run: async (rig: Rig) => closedWith(rig, bytes, 400),
  })),
  {
    name: 'headers over 16 KB get 431 and a clean close',
    run: async (rig) => closedWith(rig, `GET /v1/models HTTP/1.1\r\nhost: g\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`, 431),
  },
  {
    name: 'a caller that closes its side within its body gets 400 and a clean close, and leaves no open row',
    run: async (rig) => {
      const key = await rig.mint();
      const bytes = rawPost('/v1/messages', key.secret, JSON.stringify(bodyFor('/v1/messages'))).slice(0, -20);
      const { answers, isClosed } = await exchange(rig.gateway, bytes, { end: true, timeoutMs: 3_000 });
      return firstOf(
        () => check(answers[0]?.status === 400 && isClosed, `${answers[0]?.status ?? 'no answer'}, ${isClosed ? '' : 'not '}closed`),
        async () =>
          check(
            (await rig.rows(key, 2_000)).every((row) => !row.is_open),
            'its row stays open',
          ),
      );
    },
  },
  {
    name: 'headers that come slowly get 408 and a clean close',
    isSlow: true,
    run: async (rig) => slow(rig, 'GET /v1/models HTTP/1.1\r\nhost: g\r\n'),
  },
  {
    name: 'a body that comes slowly gets 408 and a clean close',
    isSlow: true,
    run: async (rig) => {
      const { secret } = await rig.mint();
      return slow(rig, `POST /v1/messages HTTP/1.1\r\nhost: g\r\nauthorization: Bearer ${secret}\r\ncontent-length: 100\r\n\r\n{`);
    },
  },
  {
    name: 'a chunked body that does not end at 32 MiB gets 413, and its connection is closed within 10 s',
    isSlow: true,
    run: async (rig) => {
      const { secret } = await rig.mint();
      const chunk = Buffer.concat([Buffer.from(`${MB.toString(16)}\r\n`), Buffer.alloc(MB, 'x'), Buffer.from('\r\n')]);
      const head = rawRequest('POST /v1/responses HTTP/1.1', [`authorization: Bearer ${secret}`, 'transfer-encoding: chunked']);
      const all = [head, ...Array.from({ length: LARGE / MB + 4 }, () => chunk)];
      const { answers, ms, isReset, isClosed } = await exchange(rig.gateway, all, { timeoutMs: 12_000 });
      return firstOf(
        () => check(answers[0]?.status === 413, `${answers[0]?.status ?? 'no answer'}`),
        () => check((isClosed || isReset) && ms < 10_000, `open after ${Math.round(ms)} ms`),
      );
    },
  },
  {
    name: 'garbage behind a valid request: 20 of 20 answers arrive',
    isSlow: true,
    run: async (rig) => {
      const { secret } = await rig.mint();
      const bytes = `${rawPost('/v1/messages', secret, JSON.stringify(bodyFor('/v1/messages', 'late-usage.200')))}\u0001garbage\r\n\r\n`;
      const all = await Promise.all(Array.from({ length: 20 }, async () => exchange(rig.gateway, bytes)));
      const arrived = all.filter(({ answers }) => answers[0]?.status === 200).length;
      return check(arrived === 20, `${arrived} of 20 arrive`);
    },
  },
  {
    name: 'pipelined requests are answered in their order',
    run: async (rig) => {
      const { secret } = await rig.mint();
      const ways = ['late-usage.300', 'plain', 'late-usage.100', 'plain'];
      const posts = ways.map((way, index) =>
        rawPost(index === 1 ? '/v1/nothing' : '/v1/messages', secret, JSON.stringify(bodyFor('/v1/messages', way))),
      );
      const { answers } = await exchange(rig.gateway, posts.join(''), { answers: 4 });
      const statuses = answers.map(({ status }) => status).join(' ');
      return check(statuses === '200 404 200 200', statuses);
    },
  },
  ...['two-lengths', 'both-lengths', 'split', 'no-http', 'reset'].map((way) => ({
    name: `a provider that answers wrongly (${way}) is a failure of its own request, and of no other`,
    run: async (rig: Rig) => {
      const { secret } = await rig.mint();
      const what = { path: '/v1/responses', key: secret };
      const wrong = await rig.ask({ ...what, body: bodyFor('/v1/responses', way) }).catch(() => null);
      const after = await rig.ask({ ...what, body: bodyFor('/v1/responses') });
      return firstOf(
        () => check(wrong === null || !wrong.text.includes('evil'), 'the second answer of the provider passes'),
        () => check(after.status === 200 && after.text.includes('resp_proof'), `the next request gets ${after.status}`),
      );
    },
  })),
  {
    name: 'the admin address answers /healthz, /readyz and /metrics, and the port of the gateway does not',
    isSlow: true,
    run: async (rig) => {
      const address = `127.0.0.1:${await getPort()}`;
      await rig.startOwn({ env: { VALETKEY_GATEWAY_ADMIN_ADDRESS: address } });
      for (const path of ['/healthz', '/readyz', '/metrics']) {
        const answer = await fetch(`http://${address}${path}`).catch(() => null);
        if (answer?.status !== 200) return `${path} gets ${answer?.status ?? 'no answer'}`;
        const { status } = await rig.ask({ path, key: null });
        if (status !== 404) return `the port of the gateway answers ${path} with ${status}`;
      }
      return null;
    },
  },
  {
    name: 'an upgrade to a WebSocket is refused with 426, and the marks of a request in it reach no provider',
    run: async (rig) => {
      const bytes = rawRequest('GET /v1/responses HTTP/1.1', ['connection: upgrade', 'upgrade: websocket', `x-a: ${mark()}`]);
      const { answers } = await exchange(rig.gateway, bytes, { answers: 1 });
      return check(answers[0]?.status === 426, `${answers[0]?.status ?? 'no answer'}`);
    },
  },
];

async function closedWith(rig: Rig, bytes: string, status: number): Promise<string | null> {
  const { answers, isClosed } = await exchange(rig.gateway, bytes);
  return firstOf(
    () => check(answers[0]?.status === status, `${answers[0]?.status ?? 'no answer'}`),
    () => check(isClosed, 'the connection is not closed in good order'),
  );
}

async function slow(rig: Rig, bytes: string): Promise<string | null> {
  const gateway = await rig.startOwn({ env: { VALETKEY_GATEWAY_REQUEST_TIMEOUT: '2s' } });
  const { answers, ms, isClosed } = await exchange(gateway, bytes, { timeoutMs: 12_000 });
  return firstOf(
    () => check(answers[0]?.status === 408, `${answers[0]?.status ?? 'no answer'} after ${Math.round(ms)} ms`),
    () => check(isClosed && ms < 8_000, `closed ${isClosed ? '' : 'in no good order '}after ${Math.round(ms)} ms`),
  );
}
