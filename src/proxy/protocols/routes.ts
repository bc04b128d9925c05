import type { IncomingHttpHeaders } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';

/** The generating APIs, as they stand in `requests.protocol`: these are metered. */
export type Protocol = 'anthropic-messages' | 'openai-responses' | 'openai-chat';

/**
 * What is asked for. `generate`: metered and recorded. `count`: passed on, free. `models`: answered by the gateway itself; `id` where it is
 * one model.
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

/** One model's id, as a job can name it. */
const MODELS = /^\/v1\/models(?:\/([A-Za-z0-9][\w.:/-]*))?$/;

/** What a request asks for; null for everything that this gateway does not serve. */
export function findRoute(method: string, path: string, headers: IncomingHttpHeaders): Route | null {
  if (method === 'POST') return POST.get(path) ?? null;
  const match = method === 'GET' ? MODELS.exec(path) : null;
  return match === null ? null : { kind: 'models', dialect: dialectOf(path, headers), id: match[1] ?? null };
}

/** The dialect to answer in, also where there is no route. */
export function dialectOf(path: string, headers: IncomingHttpHeaders): Dialect {
  if (path.startsWith('/v1/messages')) return 'anthropic';
  return headers['anthropic-version'] !== undefined || headers['x-api-key'] !== undefined ? 'anthropic' : 'openai';
}
