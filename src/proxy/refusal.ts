import type { ServerResponse } from 'node:http';

import type { Dialect } from '../job/dialect.ts';
import { FAILURES, type FailureCode } from '../job/errors.ts';

/** An answer of the gateway's own. Its message never holds anything of the upstream's answer. */
export interface Refusal {
  status: number;
  code: FailureCode;
  message: string;
}

// 401 means one thing only: the key of the caller. Agents do not repeat 401, 402 and 403; 5xx they do.
const STATUS: Partial<Record<FailureCode, number>> = {
  // Nobody gets it: it stands in the record where the caller left.
  cancelled: 499,
  key_refused: 401,
  budget_exhausted: 402,
  model_not_allowed: 403,
  model_unpriced: 403,
  llm_unauthorized: 403,
  llm_rejected: 400,
  llm_failed: 502,
  database_unreachable: 503,
  gateway_unreachable: 503,
  llm_timeout: 504,
};

const ANTHROPIC_TYPE: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  504: 'timeout_error',
};

const OPENAI_TYPE: Record<number, string> = { 401: 'authentication_error', 402: 'insufficient_quota', 403: 'permission_error' };

export function refusal(code: FailureCode, message: string, status: number = STATUS[code] ?? 500): Refusal {
  return { status, code, message };
}

export function isRefusal(value: object): value is Refusal {
  return 'code' in value && 'status' in value;
}

/** Answers in the error envelope of the caller's protocol. Does nothing once an answer has begun or the caller has left. */
export function sendRefusal(
  res: ServerResponse,
  dialect: Dialect,
  { status, code, message }: Refusal,
  headers: Record<string, string> = {},
): void {
  if (res.headersSent || res.destroyed) return;
  const body = JSON.stringify(envelope(dialect, status, code, message));
  res.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    // The official clients obey it: what nobody mends by waiting is not asked again.
    ...(FAILURES[code].retryable ? {} : { 'x-should-retry': 'false' }),
    ...headers,
  });
  res.end(body);
}

function envelope(dialect: Dialect, status: number, code: FailureCode, message: string): object {
  const serverError = status >= 500;
  if (dialect === 'anthropic') {
    const type = ANTHROPIC_TYPE[status] ?? (serverError ? 'api_error' : 'invalid_request_error');
    return { type: 'error', error: { type, message, code } };
  }
  const type = OPENAI_TYPE[status] ?? (serverError ? 'server_error' : 'invalid_request_error');
  return { error: { message, type, code, param: null } };
}
