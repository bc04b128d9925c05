import type { IncomingHttpHeaders } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';

/** The generating APIs, which are metered; also the values of `requests.protocol`. */
export type Protocol = 'anthropic-messages' | 'openai-responses' | 'openai-chat';

/**
 * A route of the gateway. `generate` is metered and recorded; `count` is forwarded free of charge; `models` is answered by the gateway
 * itself, with an `id` where one model is requested.
 */
export type Route =
  | { kind: 'generate' | 'count'; dialect: Dialect; protocol: Protocol }
  | { kind: 'models'; dialect: Dialect; id: string | null };

const POST = new Map<string, Route>([
  ['/v1/messages', { kind: 'generate', dialect: 'anthropic', protocol: 'anthropic-messages' }],
  ['/v1/messages/count_tokens', { kind: 'count', dialect: 'anthropic', protocol: 'anthropic-messages' }],
  ['/v1/responses', { kind: 'generate', dialect: 'openai', protocol: 'openai-responses' }],
  ['/v1/chat/completions', { kind: 'generate', dialect: 'openai', protocol: 'openai-chat' }],
]);

/** Matches a list of models, or one model by an id that a job can name. */
const MODELS = /^\/v1\/models(?:\/([A-Za-z0-9@][\w.:/-]*))?$/;

/** Finds the route of a request; null for everything that this gateway does not serve. */
export function findRoute(method: string, path: string, headers: IncomingHttpHeaders): Route | null {
  if (method === 'POST') return POST.get(path) ?? null;
  const match = method === 'GET' ? MODELS.exec(path) : null;
  return match === null ? null : { kind: 'models', dialect: dialectOf(path, headers), id: match[1] ?? null };
}

/** Returns the dialect of the answer, also for a request without a route. */
export function dialectOf(path: string, headers: IncomingHttpHeaders): Dialect {
  if (path.startsWith('/v1/messages')) return 'anthropic';
  return headers['anthropic-version'] !== undefined || headers['x-api-key'] !== undefined ? 'anthropic' : 'openai';
}
