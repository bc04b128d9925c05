import type { ServerResponse } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';
import { FAILURES, type FailureCode } from '../../contract/errors.ts';

/** An answer of the gateway's own. Its message never holds anything of the upstream's answer. */
export interface Refusal {
  status: number;
  code: FailureCode;
  /** A sentence. */
  message: string;
  /** When a repetition may succeed; absent where none will. */
  retryAfterMs?: number;
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
  rate_limited: 429,
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
  429: 'rate_limit_error',
  504: 'timeout_error',
};

const OPENAI_TYPE: Record<number, string> = {
  401: 'authentication_error',
  402: 'insufficient_quota',
  403: 'permission_error',
  429: 'rate_limit_exceeded',
};

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
  { status, code, message, retryAfterMs = status === 429 ? 1_000 : undefined }: Refusal,
  headers: Record<string, string> = {},
): void {
  if (res.headersSent || res.destroyed) return;
  const body = JSON.stringify(errorEnvelope(dialect, status, { code, message }));
  res.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    // The official clients obey both: what waiting does not fix is not asked again.
    ...(FAILURES[code].retryable ? {} : { 'x-should-retry': 'false' }),
    ...(retryAfterMs === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }),
    ...headers,
  });
  res.end(body);
}

/** The error of an answer, as a protocol has it; `type` by the status unless it is given. */
export function errorEnvelope(
  dialect: Dialect,
  status: number,
  { code, message, type, param = null }: { code: string | null; message: string; type?: string | undefined; param?: string | null },
): object {
  const serverError = status >= 500;
  if (dialect === 'anthropic') {
    const byStatus = ANTHROPIC_TYPE[status] ?? (serverError ? 'api_error' : 'invalid_request_error');
    return { type: 'error', error: { type: type ?? byStatus, message, ...(code === null ? {} : { code }) } };
  }
  const byStatus = OPENAI_TYPE[status] ?? (serverError ? 'server_error' : 'invalid_request_error');
  return { error: { message, type: type ?? byStatus, code, param } };
}
