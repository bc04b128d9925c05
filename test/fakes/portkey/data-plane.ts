import type { IncomingMessage, ServerResponse } from 'node:http';

import { send, type Answer } from '../gateway/answer.ts';
import { COST_USD, endOf, type PortkeyLedger } from './ledger.ts';

export const PATHS = new Set(['/v1/chat/completions', '/v1/messages', '/v1/responses', '/v1/models']);

/** Where the requests are sent; without `/v1` at its end. */
export interface FakeUpstream {
  baseUrl: string;
  credential: string;
}

/**
 * Answers a request of the data plane by the upstream, or by a short text where there is none. It is more lenient than Portkey, which
 * also wants to know the provider: by a header, by a model `@provider/model`, or by the key's default config.
 */
export async function serve(
  ledger: PortkeyLedger,
  upstream: FakeUpstream | null,
  request: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
): Promise<void> {
  const secret = readSecret(request);
  const key = ledger.keys.find((one) => one.secret === secret);
  const now = Date.now();
  // A self-hosted gateway of branch 2.0.0 of Portkey-AI/gateway: src/middlewares/auth/authN.ts and authZ.ts, src/utils/error.ts.
  if (key === undefined || (key.deletedAt !== null && endOf(key) <= now)) return send(response, failure(401, '03', 'Invalid API Key'));
  if (key.expiresAt <= now) return send(response, failure(401, '01', 'Portkey API Key Expired'));
  if (request.url === '/v1/models') return send(response, { status: 200, body: { object: 'list', data: [] } });
  // The spend is compared before a request and counted after it: the request that crosses the limit is answered.
  if (key.limitUsd !== null && key.requestsAt.length * COST_USD >= key.limitUsd)
    return send(response, failure(412, '04', 'Portkey API Key Usage Limit Exceeded'));
  if (!key.scopes.includes('completions.write')) return send(response, failure(403, '033', 'Forbidden!'));
  key.requestsAt.push(now);
  if (upstream === null) return send(response, { status: 200, body: { id: 'fake', usage: {} } });
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (request.url === '/v1/messages') headers['x-api-key'] = upstream.credential;
  else headers.authorization = `Bearer ${upstream.credential}`;
  const answer = await fetch(`${upstream.baseUrl}${request.url}`, { method: 'POST', headers, body: new Uint8Array(body) });
  response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' });
  for await (const chunk of answer.body ?? []) response.write(chunk);
  response.end();
}

/** `Authorization` counts where `x-portkey-api-key` is absent; `x-api-key` never does (authN.ts, as above). */
function readSecret({ headers }: IncomingMessage): string | undefined {
  const stated = headers['x-portkey-api-key'];
  return typeof stated === 'string' ? stated : headers.authorization?.replace('Bearer ', '');
}

/** The same for all three protocols: Portkey checks the key before it reads the path. */
function failure(status: number, code: string, text: string): Answer {
  const message = `Portkey Error: ${text}. Error Code: ${code}`;
  return { status, body: { status: 'failure', message, error: { message, code } } };
}
