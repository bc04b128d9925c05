import { rawPost, rawRequest } from './raw.ts';
import { bodyFor, PATHS } from './requests.ts';

/** One attempt of the fuzz. */
export interface Attempt {
  kind: string;
  bytes: Buffer;
  /** Answers after which it is over; 0: as many as come until the gateway closes. */
  answers: number;
  /** The provider fails it, so that a 5xx is the provider's. */
  isProvidersFailure: boolean;
}

/** Keys that the fuzz shows. */
export interface FuzzKeys {
  active: readonly string[];
  /** Unknown, revoked and expired ones. */
  inactive: readonly string[];
}

type Random = () => number;
type Make = (random: Random, keys: FuzzKeys) => Omit<Attempt, 'kind'>;

const FAILING_WAYS = [
  'error.500',
  'error.429',
  'error.529',
  'raw-error.503',
  'redirect',
  'reset',
  'split',
  'no-http',
  'two-lengths',
  'gzip',
];
const UNICODE = ['\u0000', '\ud800', '\u202e', '\ufeff', '😀', 'e\u0301', '\u2028', '\\u0000', '\\ud800\\udc00'];
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND', 'M-SEARCH'];
const ODD_PATHS = [
  '/',
  '*',
  '/v1',
  '/v1/messages/',
  '/v1//messages',
  '/v1/files',
  '/v1/messages/%2e%2e/files',
  '/v1/models/..',
  '/%00',
  '/v1/models',
];
const ODD_HEADERS = ['x-foo: bar', 'cookie: a=b', 'x-forwarded-for: 1.2.3.4', 'openai-organization: org-other', 'expect: 100-continue'];
const TWO_ENDS = [
  ['content-length: 6', 'transfer-encoding: chunked'],
  ['content-length: 0', 'content-length: 60'],
  ['transfer-encoding: xchunked'],
  ['transfer-encoding: chunked, identity'],
  ['content-length: 1, 60'],
  ['content-length: -5'],
];

/** What is sent, and how often of a hundred times. */
const KINDS: Record<string, [share: number, make: Make]> = {
  valid: [
    25,
    (random, keys) => {
      const way = random() < 0.06 ? pick(random, FAILING_WAYS) : 'plain';
      return whole(post(random, pick(random, keys.active), way, { stream: random() < 0.4 }), way !== 'plain');
    },
  ],
  'inactive key': [15, (random, keys) => whole(unmarked(post(random, pick(random, keys.inactive), 'plain', { stream: random() < 0.4 })))],
  'malformed JSON': [
    10,
    (random, keys) => {
      const path = pick(random, PATHS);
      return whole(rawPost(path, pick(random, keys.active), mutated(random, JSON.stringify(bodyFor(path)))));
    },
  ],
  truncated: [
    8,
    (random, keys) => {
      const request = post(random, pick(random, keys.active), 'plain', {});
      return open(request.slice(0, Math.floor(random() * request.length)));
    },
  ],
  'random bytes': [
    8,
    (random) => ({
      bytes: Buffer.from(Array.from({ length: 1 + Math.floor(random() * 400) }, () => Math.floor(random() * 256))),
      answers: 0,
      isProvidersFailure: false,
    }),
  ],
  'two ends': [
    8,
    (random, keys) => {
      const inner = unmarked(post(random, pick(random, keys.inactive), 'plain', {}));
      const key = pick(random, random() < 0.5 ? keys.active : keys.inactive);
      return open(
        rawRequest('POST /v1/messages HTTP/1.1', [`authorization: Bearer ${key}`, ...pick(random, TWO_ENDS)], `0\r\n\r\n${inner}`),
      );
    },
  ],
  'odd lines and headers': [
    9,
    (random, keys) => {
      const key = pick(random, random() < 0.5 ? keys.active : keys.inactive);
      const line = `${pick(random, METHODS)} ${pick(random, ODD_PATHS)} HTTP/1.1`;
      return open(rawRequest(line, [`authorization: Bearer ${key}`, pick(random, ODD_HEADERS), pick(random, ODD_HEADERS)]));
    },
  ],
  pipelined: [
    5,
    (random, keys) => {
      const count = 2 + Math.floor(random() * 4);
      const one = (): string =>
        random() < 0.5
          ? post(random, pick(random, keys.active), 'plain', {})
          : unmarked(post(random, pick(random, keys.inactive), 'plain', {}));
      return { ...whole(Array.from({ length: count }, one).join('')), answers: count };
    },
  ],
  'deep nesting': [
    3,
    (random, keys) => {
      const depth = 1 + Math.floor(random() * 20_000);
      const [opened, closed] = pick<[string, string]>(random, [
        ['[', ']'],
        ['{"a":', '}'],
      ]);
      const nested = `${opened.repeat(depth)}1${closed.repeat(depth)}`;
      return whole(reposted(random, keys, (body) => `${body.slice(0, -1)},"metadata":${nested}}`));
    },
  ],
  'a field twice': [3, (random, keys) => whole(reposted(random, keys, (body) => body.replace('{', `{"model":"gpt-5-pro","stream":true,`)))],
  'odd unicode': [
    3,
    (random, keys) =>
      whole(reposted(random, keys, (body) => body.replace('"model"', `"metadata":{"user_id":"${pick(random, UNICODE)}"},"model"`))),
  ],
  'unknown names': [
    3,
    (random, keys) => {
      const name = `x${Math.floor(random() * 1e9).toString(36)}`;
      const more = pick(random, [{ [name]: 1 }, { tools: [{ type: name, name }] }, { service_tier: name }, { metadata: { [name]: {} } }]);
      const beta = random() < 0.3 ? [`anthropic-beta: ${name}`] : [];
      const path = pick(random, PATHS);
      return whole(rawPost(path, pick(random, keys.active), JSON.stringify(bodyFor(path, 'plain', more)), beta));
    },
  ],
};

/** The next attempt. */
export function nextAttempt(random: Random, keys: FuzzKeys): Attempt {
  let at = random() * 100;
  for (const [kind, [share, make]] of Object.entries(KINDS)) {
    at -= share;
    if (at < 0) return { kind, ...make(random, keys) };
  }
  return nextAttempt(random, keys);
}

function pick<T>(random: Random, of: readonly T[]): T {
  const found = of[Math.floor(random() * of.length)];
  if (found === undefined) throw new Error('there is nothing to pick from');
  return found;
}

function whole(request: string, isProvidersFailure = false): Omit<Attempt, 'kind'> {
  return { bytes: Buffer.from(request, 'latin1'), answers: 1, isProvidersFailure };
}

/** A request whose end only the end of the connection says. */
function open(request: string): Omit<Attempt, 'kind'> {
  return { bytes: Buffer.from(request, 'latin1'), answers: 0, isProvidersFailure: false };
}

function post(random: Random, key: string, way: string, more: object): string {
  const path = random() < 0.1 ? '/v1/messages/count_tokens' : pick(random, PATHS);
  const { max_tokens: _, ...counted } = { max_tokens: 0, ...bodyFor(path, way, more) };
  const body = path.endsWith('count_tokens') ? counted : bodyFor(path, way, more);
  return random() < 0.5
    ? rawPost(path, key, JSON.stringify(body))
    : rawPost(path, null, JSON.stringify(body), [`x-api-key: ${key}`, 'anthropic-version: 2023-06-01']);
}

/** Without the mark of a request that may reach the provider; its length stays. */
function unmarked(request: string): string {
  return request.replaceAll('live way=', 'dead way=');
}

function reposted(random: Random, keys: FuzzKeys, change: (body: string) => string): string {
  const path = pick(random, PATHS);
  return rawPost(path, pick(random, keys.active), Buffer.from(change(JSON.stringify(bodyFor(path)))).toString('latin1'));
}

/** Changed in one to four places, outside of the mark. */
function mutated(random: Random, body: string): string {
  let text = body;
  for (let left = 1 + Math.floor(random() * 4); left > 0; left -= 1) {
    const marked = text.indexOf('live way=plain');
    const at = Math.floor(random() * text.length);
    if (at >= marked && at < marked + 'live way=plain; '.length) continue;
    const byte = pick(random, ['"', '{', '}', '[', ']', ',', ':', '\\', '\u0000', 'x', '9', '\u00ff']);
    text = text.slice(0, at) + byte + text.slice(at + (random() < 0.5 ? 1 : 0));
  }
  return text;
}
