import { check, firstOf, refusedWith, shown, type Case } from './case.ts';
import type { Gateway } from './gateway.ts';
import { filled, HOSTILE_BODIES, honestText, LARGE, MB } from './large-bodies.ts';
import { exchange, open, rawPost } from './raw.ts';
import { bodyFor } from './requests.ts';
import type { Rig } from './rig.ts';

const BLOCK_MS = 50;
const GROWTH_MB = 64;
/** What allocators keep of memory that is free again: it does not grow from one time to the next. */
const ALLOCATOR_MB = 192;

/** What bodies do to the gateway: B1 of the review, and what its fix could break. */
export const bodies: Case[] = [
  {
    name: 'B1: 32 MiB without an active key: 401 before the body is read, within the time of a small request',
    run: async ({ gateway }) => {
      const head = `POST /v1/responses HTTP/1.1\r\nhost: g\r\nauthorization: Bearer nobody\r\ncontent-length: ${LARGE}\r\n\r\n`;
      const { answers, ms } = await exchange(gateway, head, { answers: 1, timeoutMs: 3_000 });
      const [answer] = answers;
      return answer === undefined
        ? 'no answer before the body was sent'
        : firstOf(
            () => refusedWith({ status: answer.status, text: answer.body }, 401, 'key_refused'),
            () => check(ms < 500, `401 after ${Math.round(ms)} ms`),
          );
    },
  },
  ...Object.entries(HOSTILE_BODIES).map(([what, make], index) => ({
    name: `B1: 32 MiB (${what}): refused with and without a key, no block over ${BLOCK_MS} ms`,
    isSlow: index > 0,
    run: async (rig: Rig) => {
      const { secret } = await rig.mint();
      const body = make();
      return firstOf(
        () => hardly(rig, () => largeAnswer(rig.gateway, 'nobody', body), [401]),
        () => hardly(rig, () => largeAnswer(rig.gateway, secret, body), [200, 400, 402, 403, 413]),
      );
    },
  })),
  {
    name: `B1: 32 MiB of honest text with a key: served, no block over ${BLOCK_MS} ms`,
    isSlow: true,
    run: async (rig) => {
      const { secret } = await rig.mint();
      return hardly(rig, () => largeAnswer(rig.gateway, secret, honestText()), [200]);
    },
  },
  {
    name: 'B1: a heap of 512 MB survives ten bodies of 32 MiB without a key and ten with one',
    isSlow: true,
    run: async (rig) => {
      const gateway = await rig.startOwn({ heapMb: 512 });
      const { secret } = await rig.mint();
      const body = filled('{"model":"gpt-5.1","a":[{}', ',{}', ']}');
      for (const key of ['nobody', secret]) {
        const all = Array.from({ length: 10 }, async () => largeAnswer(gateway, key, body));
        await Promise.all(all);
        if (!gateway.isRunning) return `the gateway ended by bodies of ${key === secret ? 'an active key' : 'no key'}`;
      }
      return check(
        (await rig.ask({ path: '/v1/responses', key: secret, body: bodyFor('/v1/responses') })).status === 200,
        'it serves no more',
      );
    },
  },
  {
    name: `B1: 40 connections without a key and with unfinished 32 MiB bodies hold less than ${GROWTH_MB} MB`,
    isSlow: true,
    run: async ({ gateway }) => {
      const before = await gateway.measure();
      const body = Buffer.alloc(LARGE - 1, 'x');
      const head = `POST /v1/responses HTTP/1.1\r\nhost: g\r\nauthorization: Bearer nobody\r\ncontent-length: ${LARGE}\r\n\r\n`;
      const sockets = Array.from({ length: 40 }, () => open(gateway));
      for (const socket of sockets) {
        socket.write(head);
        socket.write(body);
      }
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      const after = await gateway.measure();
      for (const socket of sockets) socket.destroy();
      const [held, rss] = [after.heldMb - before.heldMb, after.rssMb - before.rssMb];
      return check(held < GROWTH_MB && rss < ALLOCATOR_MB, `${Math.round(held)} MB more are held, of ${Math.round(rss)} MB of the process`);
    },
  },
  {
    name: `B1: bodies of 32 MiB, one after the other: after the first six, ten more add less than ${GROWTH_MB} MB to the process`,
    isSlow: true,
    run: async (rig) => {
      const { secret } = await rig.mint();
      const round = async (times: number): Promise<number> => {
        for (let sent = 0; sent < times; sent += 1) await largeAnswer(rig.gateway, sent % 2 === 0 ? secret : 'nobody', honestText());
        return (await rig.gateway.measure()).rssMb;
      };
      const grown = -(await round(6)) + (await round(10));
      return check(grown < GROWTH_MB, `${Math.round(grown)} MB more`);
    },
  },
  nested('B1: nesting of 10^6 in the input is a 400', '{"model":"gpt-5.1","instructions":"live way=plain; ","input":', 1_000_000, 'nested'),
  nested(
    'stream_options null beside an array 20,000 deep is a 400',
    '{"model":"gpt-5.1","user":"live way=plain; ","stream":true,"stream_options":null,"messages":',
    20_000,
  ),
  nested(
    'B1: nesting of 10^6 in the schema of a tool is a 400',
    '{"model":"gpt-5.1","input":"live way=plain; ","tools":[{"type":"function","parameters":',
    1_000_000,
    'nested',
  ),
  ...refusals(),
  {
    name: 'a body over 32 MiB by its length: 413, and a clean close',
    run: async (rig) => {
      const { secret } = await rig.mint();
      const head = `POST /v1/responses HTTP/1.1\r\nhost: g\r\nauthorization: Bearer ${secret}\r\ncontent-length: ${LARGE + 1}\r\n\r\n`;
      const { answers } = await exchange(rig.gateway, [head, Buffer.alloc(MB, 'x')], { answers: 1, timeoutMs: 5_000 });
      return check(answers[0]?.status === 413, `${answers[0]?.status ?? 'no answer'}`);
    },
  },
];

function nested(name: string, start: string, depth: number, names = ''): Case {
  return {
    name,
    run: async (rig) => {
      const key = await rig.mint();
      const path = start.includes('messages') ? '/v1/chat/completions' : '/v1/responses';
      const body = `${start}${'['.repeat(depth)}${']'.repeat(depth)}${start.includes('tools') ? '}]' : ''}}`;
      return firstOf(
        async () => refusedWith(await rig.ask({ path, key: 'nobody', body }), 401, 'key_refused'),
        async () => refusedWith(await rig.ask({ path, key: key.secret, body }), 400, 'llm_rejected', names),
        async () =>
          check(
            (await rig.rows(key, 2_000)).every((row) => !row.is_open),
            'its row stays open',
          ),
      );
    },
  };
}

/** Bodies that are refused by name, with 400 unless it says otherwise. */
function refusals(): Case[] {
  const table: [what: string, body: string, names: string, status?: number][] = [
    ['no JSON', 'hello', 'JSON'],
    ['nothing', '', ''],
    ['an array', '[]', ''],
    ['no model', '{"input":"live way=plain; "}', 'model'],
    ['a model that is no text', '{"model":{"a":1},"input":"live way=plain; "}', 'model'],
    ['the model twice', '{"model":"gpt-5.1","model":"gpt-5-pro","input":"live way=plain; "}', 'model'],
    ['the model twice, once escaped', '{"model":"gpt-5.1","mod\\u0065l":"gpt-5-pro","input":"live way=plain; "}', 'model'],
    [
      'the type of a tool twice',
      '{"model":"gpt-5.1","input":"live way=plain; ","tools":[{"type":"function","type":"web_search"}]}',
      'type',
    ],
    ['something behind the body', '{"model":"gpt-5.1","input":"live way=plain; "}{}', ''],
    ['a model that is not priced', '{"model":"gpt-5.1-made-up","input":"live way=plain; "}', '', 403],
    ['NaN', '{"model":"gpt-5.1","input":"live way=plain; ","temperature":NaN}', ''],
    ['a comma at the end', '{"model":"gpt-5.1","input":"live way=plain; ",}', ''],
  ];
  return [
    ...table.map(([what, body, names, status = 400]) => ({
      name: `a body with ${what} is refused with ${status}`,
      run: async (rig: Rig) => {
        const { secret } = await rig.mint();
        const before = rig.provider.requests;
        const answer = await rig.ask({ path: '/v1/responses', key: secret, body });
        return firstOf(
          () => check(answer.status === status && answer.text.includes(names), shown(answer)),
          () => check(rig.provider.requests === before, 'it reached the provider'),
        );
      },
    })),
    {
      name: 'a compressed request body is refused with 415',
      run: async (rig) => {
        const { secret } = await rig.mint();
        const headers = { 'content-encoding': 'gzip' };
        return refusedWith(
          await rig.ask({ path: '/v1/responses', key: secret, body: bodyFor('/v1/responses'), headers }),
          415,
          'llm_rejected',
        );
      },
    },
  ];
}

/** Sends a large body; resolves to the status, also where the gateway closes before it has read the whole. */
async function largeAnswer(gateway: Gateway, key: string, body: Buffer): Promise<number> {
  const head = rawPost('/v1/responses', key, '').replace('content-length: 0', `content-length: ${body.length}`);
  const { answers } = await exchange(gateway, [head, body], { answers: 1, timeoutMs: 30_000 });
  return answers[0]?.status ?? 0;
}

/** Whether it is answered so, without a long block and without memory that stays. */
async function hardly({ gateway, blocks }: Rig, ask: () => Promise<number>, statuses: readonly number[]): Promise<string | null> {
  const before = await gateway.measure();
  const status = await ask();
  const { longestBlockMs, heldMb } = await gateway.measure();
  blocks.push(longestBlockMs);
  return firstOf(
    () => check(statuses.includes(status), status === 0 ? 'no answer' : `answered with ${status}`),
    () => check(longestBlockMs <= BLOCK_MS, `a block of ${Math.round(longestBlockMs)} ms`),
    () => check(heldMb - before.heldMb < GROWTH_MB, `${Math.round(heldMb - before.heldMb)} MB more are held after it`),
  );
}
