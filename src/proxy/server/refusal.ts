import type { ServerResponse } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';
import { FAILURES, type FailureCode } from '../../contract/errors.ts';

/** An error answer of the gateway itself. Its message never contains anything from the upstream's answer. */
export interface Refusal {
  status: number;
  code: FailureCode;
  /** A sentence. */
  message: string;
  /** The delay after which a retry may succeed; absent where none can. */
  retryAfterMs?: number;
}

// A 401 always means the caller's key. Agents do not retry 401, 402 and 403; they retry 5xx.
const STATUSES: Partial<Record<FailureCode, number>> = {
  // Only recorded: the caller has disconnected.
  cancelled: 499,
  key_refused: 401,
  budget_exhausted: 402,
  model_not_allowed: 403,
  model_unpriced: 403,
  sealed_unreadable: 403,
  llm_unauthorized: 403,
  credential_needs_login: 403,
  llm_rejected: 400,
  rate_limited: 429,
  llm_failed: 502,
  database_unreachable: 503,
  gateway_unreachable: 503,
  gateway_not_configured: 403,
  llm_timeout: 504,
};

const ANTHROPIC_TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
};

const OPENAI_TYPES: Record<number, string> = {
  401: 'authentication_error',
  402: 'insufficient_quota',
  403: 'permission_error',
  429: 'rate_limit_exceeded',
};

/** Creates a refusal; the status follows from the code unless it is given. */
export function refusal(code: FailureCode, message: string, status: number = STATUSES[code] ?? 500): Refusal {
  return { status, code, message };
}

export function isRefusal(value: object): value is Refusal {
  return 'code' in value && 'status' in value;
}

/** Sends a refusal in the error envelope of the caller's protocol. Does nothing once an answer has begun or the caller has disconnected. */
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
    // The official clients obey both headers, and do not retry what waiting cannot fix.
    ...(FAILURES[code].retryable ? {} : { 'x-should-retry': 'false' }),
    ...(retryAfterMs === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }),
    ...headers,
  });
  res.end(body);
}

/** Builds the error envelope of a protocol; the type follows from the status unless it is given. */
export function errorEnvelope(
  dialect: Dialect,
  status: number,
  { code, message, type, param = null }: { code: string | null; message: string; type?: string | undefined; param?: string | null },
): object {
  const serverError = status >= 500;
  if (dialect === 'anthropic') {
    const byStatus = ANTHROPIC_TYPES[status] ?? (serverError ? 'api_error' : 'invalid_request_error');
    return { type: 'error', error: { type: type ?? byStatus, message, ...(code === null ? {} : { code }) } };
  }
  const byStatus = OPENAI_TYPES[status] ?? (serverError ? 'server_error' : 'invalid_request_error');
  return { error: { message, type: type ?? byStatus, code, param } };
}
