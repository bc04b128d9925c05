import { check, firstOf, refusedWith, shown, type Case } from './case.ts';
import { CLAUDE, CREDENTIAL, GPT, ORGANIZATION, PROJECT } from './models.ts';
import { FOREIGN_HEADERS } from './provider-headers.ts';
import { ACCOUNT_HEADERS } from './provider-ways.ts';
import { mark } from './provider.ts';
import { bodyFor, PATHS } from './requests.ts';
import type { Rig } from './rig.ts';

/** What tenants could see of one another, and of the account at the provider: M3 and minors of the review. */
export const isolation: Case[] = [
  ...storedThings(),
  ...(['/v1/responses', '/v1/chat/completions'] as const).map((path) => ({
    name: `M3: ${path} is sent with store false and service_tier default, whatever the caller wrote`,
    run: async (rig: Rig) => {
      const { secret } = await rig.mint();
      for (const more of [{}, { store: true }, { service_tier: 'auto', store: null }]) {
        const answer = await rig.ask({ path, key: secret, body: bodyFor(path, 'plain', more) });
        const sent = rig.provider.seen.at(-1)?.body ?? '';
        if (answer.status !== 200) return shown(answer);
        if (!/"store":\s*false/.test(sent) || !/"service_tier":\s*"default"/.test(sent)) return `sent ${sent}`;
        if (/"store":\s*(true|null)|"service_tier":\s*"auto"/.test(sent)) return `sent ${sent}`;
      }
      return null;
    },
  })),
  {
    name: 'M3: /v1/models lists the models of the key and no others',
    run: async (rig) => {
      const { secret } = await rig.mint({ models: [CLAUDE, GPT] });
      const before = rig.provider.requests;
      for (const headers of [{}, { 'anthropic-version': '2023-06-01' }]) {
        const answer = await rig.ask({ path: '/v1/models', key: secret, headers });
        const ids = [...answer.text.matchAll(/"id":"([^"]+)"/g)].map(([, id]) => id ?? '');
        if (answer.status !== 200 || ids.length === 0 || ids.some((id) => id !== CLAUDE && id !== GPT)) return shown(answer);
      }
      return firstOf(
        async () => check((await rig.ask({ path: `/v1/models/${GPT}`, key: secret })).status === 200, 'a model of the key is not found'),
        async () => refusedWith(await rig.ask({ path: '/v1/models/gpt-5-pro', key: secret }), 404, 'llm_rejected'),
        async () => check((await rig.ask({ path: '/v1/models', key: 'nobody' })).status === 401, 'it is listed without a key'),
        () => check(rig.provider.requests === before, 'the provider was asked'),
      );
    },
  },
  ...PATHS.map((path) => ({
    name: `M3: of ${path} no header passes that chooses an account, a route or a customer`,
    run: async (rig: Rig) => {
      const { secret } = await rig.mint();
      const headers = Object.fromEntries(FOREIGN_HEADERS.map((name) => [name, 'foreign']));
      const answer = await rig.ask({ path, key: secret, body: bodyFor(path), headers });
      const sent = Object.entries(rig.provider.seen.at(-1)?.headers ?? {}).filter(([, value]) => String(value).includes('foreign'));
      return firstOf(
        () => check(answer.status === 200, shown(answer)),
        () => check(sent.length === 0, `passed ${sent.map(([name]) => name).join(', ')}`),
      );
    },
  })),
  ...PATHS.flatMap((path) => [
    {
      name: `of an answer to ${path} no header passes that names the account, sets a cookie or echoes the credential`,
      run: async (rig: Rig) => {
        const { secret } = await rig.mint();
        const { headers, status } = await rig.ask({ path, key: secret, body: bodyFor(path, 'headers') });
        const passed = Object.keys(ACCOUNT_HEADERS).filter((name) => headers[name] !== undefined);
        return check(status === 200 && passed.length === 0, `${status} with ${passed.join(', ')}`);
      },
    },
    ...[400, 403, 429, 500].map((status) => ({
      name: `an error ${status} of the provider at ${path} is scrubbed of the account and of the credential`,
      run: async (rig: Rig) => {
        const { secret } = await rig.mint();
        const answer = await rig.ask({ path, key: secret, body: bodyFor(path, `error.${status}`) });
        const all = JSON.stringify(answer.headers) + answer.text;
        const leaks = [ORGANIZATION, PROJECT, CREDENTIAL].filter((text) => all.includes(text));
        return firstOf(
          () => check(answer.status >= 400 && answer.status !== 401, shown(answer)),
          () => check(leaks.length === 0, `shows ${leaks.join(', ')}`),
          () => check(answer.text.includes('"error"'), `no envelope: ${shown(answer)}`),
        );
      },
    })),
  ]),
  {
    name: 'an error page of the provider that is no JSON shows nothing of the account',
    run: async (rig) => {
      const { secret } = await rig.mint();
      const answer = await rig.ask({ path: '/v1/responses', key: secret, body: bodyFor('/v1/responses', 'raw-error.503') });
      const leaks = [ORGANIZATION, PROJECT, CREDENTIAL].filter((text) => answer.text.includes(text));
      return check(leaks.length === 0 && answer.text.includes('"error"'), shown(answer));
    },
  },
  {
    name: 'a redirect of the provider becomes 502 without a location',
    run: async (rig) => {
      const { secret } = await rig.mint();
      const answer = await rig.ask({ path: '/v1/responses', key: secret, body: bodyFor('/v1/responses', 'redirect') });
      return firstOf(
        () => check(answer.headers.location === undefined, 'the location passes'),
        () => refusedWith(answer, 502, 'llm_failed'),
      );
    },
  },
  {
    name: 'a 401 of the provider is not told to the caller as its own',
    run: async (rig) => {
      const { secret } = await rig.mint();
      return refusedWith(
        await rig.ask({ path: '/v1/messages', key: secret, body: bodyFor('/v1/messages', 'error.401') }),
        403,
        'llm_unauthorized',
      );
    },
  },
];

function file(type: string, more: object): object {
  return {
    input: [
      {
        role: 'user',
        content: [
          { type, ...more },
          { type: 'input_text', text: mark() },
        ],
      },
    ],
  };
}

function document(source: object): object {
  return {
    messages: [
      {
        role: 'user',
        content: [
          { type: 'document', source },
          { type: 'text', text: mark() },
        ],
      },
    ],
  };
}

function storedThings(): Case[] {
  const table: [what: string, path: string, more: object][] = [
    ['previous_response_id', '/v1/responses', { previous_response_id: 'resp_other' }],
    ['conversation', '/v1/responses', { conversation: 'conv_other' }],
    ['conversation as an object', '/v1/responses', { conversation: { id: 'conv_other' } }],
    ['prompt', '/v1/responses', { prompt: { id: 'pmpt_other' } }],
    [
      'item_reference',
      '/v1/responses',
      {
        input: [
          { role: 'user', content: mark() },
          { type: 'item_reference', id: 'msg_other' },
        ],
      },
    ],
    ['a file', '/v1/responses', file('input_file', { file_id: 'file-other' })],
    ['the file of an image', '/v1/responses', file('input_image', { file_id: 'file-other' })],
    [
      'a file of a chat',
      '/v1/chat/completions',
      {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'file', file: { file_id: 'file-other' } },
              { type: 'text', text: mark() },
            ],
          },
        ],
      },
    ],
    ['container', '/v1/messages', { container: 'container_other' }],
    ['container with skills', '/v1/messages', { container: { id: 'container_other', skills: [] } }],
    ['thread', '/v1/messages', { thread: 'thread_other' }],
    ['the file of a document', '/v1/messages', document({ type: 'file', file_id: 'file_other' })],
    ['vector stores', '/v1/responses', { tools: [{ type: 'file_search', vector_store_ids: ['vs_other'] }] }],
  ];
  return table.map(([what, path, more]) => ({
    name: `M3: ${what} of another job at ${path}: 404, and nothing reaches the provider`,
    run: async (rig) => {
      const { secret } = await rig.mint();
      const before = rig.provider.requests;
      const answer = await rig.ask({ path, key: secret, body: bodyFor(path, 'plain', more) });
      // A source of the type `file` and a tool of the type `file_search` are not on the lists either.
      return firstOf(
        () => check(rig.provider.requests === before, 'it reached the provider'),
        () => refusedWith(answer, /vector|the file of a document/.test(what) ? [400, 404] : 404, 'llm_rejected'),
      );
    },
  }));
}
