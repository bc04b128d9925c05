import type { IncomingHttpHeaders } from 'node:http';

import type { Dialect } from '../job/dialect.ts';

/** The generating APIs, as they stand in `requests.protocol`: these are metered. */
export type Protocol = 'anthropic-messages' | 'openai-responses' | 'openai-chat';

export interface Route {
  dialect: Dialect;
  /** Null: costs nothing, so it is neither metered nor recorded. */
  protocol: Protocol | null;
  /** Whether its body names a model. */
  hasBody: boolean;
}

const POST: Record<string, Route> = {
  '/v1/messages': { dialect: 'anthropic', protocol: 'anthropic-messages', hasBody: true },
  '/v1/messages/count_tokens': { dialect: 'anthropic', protocol: null, hasBody: true },
  '/v1/responses': { dialect: 'openai', protocol: 'openai-responses', hasBody: true },
  '/v1/chat/completions': { dialect: 'openai', protocol: 'openai-chat', hasBody: true },
};

/** One model's id, nothing that an upstream could read as another path. */
const MODELS = /^\/v1\/models(\/[A-Za-z0-9][\w.:-]*)?$/;

/** What a request asks for; null for everything that this gateway does not serve. */
export function findRoute(method: string, path: string, headers: IncomingHttpHeaders): Route | null {
  if (method === 'POST') return Object.hasOwn(POST, path) ? (POST[path] ?? null) : null;
  if (method === 'GET' && MODELS.test(path)) return { dialect: dialectOf(path, headers), protocol: null, hasBody: false };
  return null;
}

/** The dialect to answer in, also where there is no route. */
export function dialectOf(path: string, headers: IncomingHttpHeaders): Dialect {
  if (path.startsWith('/v1/messages')) return 'anthropic';
  return headers['anthropic-version'] !== undefined || headers['x-api-key'] !== undefined ? 'anthropic' : 'openai';
}
