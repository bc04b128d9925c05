import { check, firstOf, type Case } from './case.ts';
import { exchange, rawPost, rawRequest } from './raw.ts';
import { bodyFor } from './requests.ts';
import type { Rig } from './rig.ts';

const INNER = rawPost(
  '/v1/messages',
  null,
  '{"model":"claude-sonnet-4-6","max_tokens":9,"messages":[{"role":"user","content":"smuggled"}]}',
);
const CHUNKED = `${Buffer.byteLength(INNER, 'latin1').toString(16)}\r\n${INNER}\r\n0\r\n\r\n`;

/** Messages whose end two readers could see differently. `{key}` stands for an active key. */
const MESSAGES: Record<string, string> = {
  'a length and chunks': post(['content-length: 6', 'transfer-encoding: chunked'], `0\r\n\r\n${INNER}`),
  'chunks and a length': post(['transfer-encoding: chunked', `content-length: ${INNER.length + 5}`], `0\r\n\r\n${INNER}`),
  'two lengths': post(['content-length: 0', `content-length: ${INNER.length}`], INNER),
  'a list of lengths': post([`content-length: 0, ${INNER.length}`], INNER),
  'a length with a sign': post([`content-length: +${INNER.length}`], INNER),
  'a negative length': post(['content-length: -1'], INNER),
  'a blank before the colon': post([`content-length : ${INNER.length}`], INNER),
  'a folded header': post([`content-length:\r\n ${INNER.length}`], INNER),
  'a coding that is unknown': post(['transfer-encoding: xchunked'], CHUNKED),
  'chunked twice': post(['transfer-encoding: chunked, chunked'], CHUNKED),
  'identity and chunked': post(['transfer-encoding: identity', 'transfer-encoding: chunked'], CHUNKED),
  'a chunk of a wrong size': post(['transfer-encoding: chunked'], `zz\r\n${INNER}\r\n0\r\n\r\n`),
  'a chunk size that overflows': post(['transfer-encoding: chunked'], `fffffffffffffffff\r\n${INNER}`),
  'a line end that is LF': post(['content-length: 0'], INNER).replaceAll('\r\n', '\n'),
  'a CR in a header': post([`x-a: b\rcontent-length: ${INNER.length}`], INNER),
};

/** Routes that are none of the gateway's. */
const LINES: string[] = [
  'POST /v1/files HTTP/1.1',
  'POST /v1/messages/../files HTTP/1.1',
  'POST /v1/messages/%2e%2e/files HTTP/1.1',
  'POST //v1/messages HTTP/1.1',
  'POST /v1/messages/ HTTP/1.1',
  'POST /v1/messages/batches HTTP/1.1',
  'POST /v1/responses/resp_1/cancel HTTP/1.1',
  'GET /v1/responses/resp_1 HTTP/1.1',
  'GET /v1/models/../files HTTP/1.1',
  'GET /v1/models/a%2f..%2f..%2ffiles HTTP/1.1',
  'DELETE /v1/models/gpt-5.1 HTTP/1.1',
  'PUT /v1/messages HTTP/1.1',
  'PATCH /v1/messages HTTP/1.1',
  'OPTIONS * HTTP/1.1',
  'TRACE /v1/messages HTTP/1.1',
  'GET http://other.example/v1/models HTTP/1.1',
  'POST http://other.example/v1/messages HTTP/1.1',
  'CONNECT other.example:443 HTTP/1.1',
  'POST /v1/organizations/users HTTP/1.1',
  'PRI * HTTP/2.0',
];

/** Ways past the route table and past the key: they held in the review. */
export const smuggling: Case[] = [
  ...Object.entries(MESSAGES).flatMap(([what, bytes]) =>
    (['an active', 'no'] as const).map((whose) => ({
      name: `a message with ${what} and ${whose} key brings nothing to the provider`,
      run: async (rig: Rig) => unheard(rig, bytes.replace('{key}', whose === 'no' ? 'nobody' : (await rig.mint()).secret)),
    })),
  ),
  ...LINES.map((line) => ({
    name: `${line} with an active key brings nothing to the provider`,
    run: async (rig: Rig) => {
      const { secret } = await rig.mint();
      const body = JSON.stringify(bodyFor('/v1/messages'));
      const headers = [`authorization: Bearer ${secret}`, 'content-type: application/json', `content-length: ${body.length}`];
      return unheard(rig, rawRequest(line, headers, body));
    },
  })),
  {
    name: 'no way to show a key that is not active brings anything to the provider',
    run: async (rig) => {
      const ended = await rig.mint();
      await rig.revoke(ended);
      const { secret } = await rig.mint();
      const before = rig.provider.requests;
      for (const header of keyHeaders(secret, ended.secret)) {
        const { answers } = await exchange(rig.gateway, rawPost('/v1/messages', null, JSON.stringify(bodyFor('/v1/messages')), header), {
          answers: 1,
        });
        const status = answers[0]?.status ?? 0;
        if (status !== 401 && status !== 400) return `${header.map((line) => line.replaceAll(secret, '<key>')).join(' | ')} gets ${status}`;
      }
      return check(rig.provider.requests === before, 'a request reached the provider');
    },
  },
];

function keyHeaders(active: string, ended: string): string[][] {
  return [
    [],
    ...[
      '',
      'nobody',
      ended,
      active.slice(0, -1),
      `${active}x`,
      active.toUpperCase(),
      `${active},${active}`,
      `"${active}"`,
      `${active} ${active}`,
    ].map((key) => [`authorization: Bearer ${key}`]),
    ...['Basic', 'Token', 'Bearer:', 'Bear'].map((scheme) => [`authorization: ${scheme} ${active}`]),
    [`authorization: ${active}`],
    [`x-api-key: ${ended}`],
    [`x-api-key: ${active}x`],
    [`api-key: ${active}`],
    [`x-goog-api-key: ${active}`],
    [`cookie: authorization=Bearer ${active}`],
    [`proxy-authorization: Bearer ${active}`],
    [`authorization: Bearer ${ended}`, `x-api-key: ${ended}`],
    ["authorization: Bearer ' or 1=1 --"],
    [`authorization: Bearer ${'x'.repeat(8_000)}`],
  ];
}

function post(headers: readonly string[], body: string): string {
  return rawRequest('POST /v1/messages HTTP/1.1', ['authorization: Bearer {key}', 'content-type: application/json', ...headers], body);
}

async function unheard(rig: Rig, bytes: string): Promise<string | null> {
  const before = rig.provider.requests;
  const { answers, isClosed, isReset } = await exchange(rig.gateway, bytes, { end: true, timeoutMs: 1_500 });
  return firstOf(
    () => check(answers.length > 0 || isClosed || isReset, 'it is neither answered nor closed'),
    () => check(rig.provider.requests === before, `${rig.provider.seen.at(-1)?.url ?? 'a request'} reached the provider`),
    () =>
      check(
        answers.every(({ status }) => status >= 400),
        `answered with ${answers.map(({ status }) => status).join(' ')}`,
      ),
  );
}
