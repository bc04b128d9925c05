import type { FailureCode } from '../../contract/errors.ts';

/** Maps an upstream's status to a failure code; null for a success. */
export function codeOfStatus(status: number): FailureCode | null {
  if (status >= 200 && status < 300) return null;
  switch (status) {
    case 401:
      return 'llm_unauthorized';
    case 402:
      return 'llm_payment_required';
    case 403:
      return 'llm_forbidden';
    case 408:
      return 'llm_timeout';
    case 429:
      return 'llm_rate_limited';
    default:
      return status >= 400 && status < 500 ? 'llm_rejected' : 'llm_failed';
  }
}

/** Maps an error within a stream that began as a success: `error.type` of Anthropic, `error.code` of OpenAI. */
export function codeOfStreamError(type: string | null | undefined): FailureCode {
  switch (type) {
    case 'authentication_error':
    case 'invalid_api_key':
      return 'llm_unauthorized';
    case 'billing_error':
    case 'insufficient_quota':
    // What a ChatGPT plan includes is used up, for hours or days.
    case 'usage_limit_reached':
    case 'usage_not_included':
      return 'llm_payment_required';
    case 'permission_error':
      return 'llm_forbidden';
    case 'rate_limit_error':
    case 'rate_limit_exceeded':
      return 'llm_rate_limited';
    case 'timeout_error':
      return 'llm_timeout';
    case 'invalid_request_error':
    case 'invalid_prompt':
    case 'context_length_exceeded':
      return 'llm_rejected';
    default:
      return 'llm_failed';
  }
}

/** The types and codes of a provider's transient errors. */
const TRANSIENT_ERROR_TYPES = new Set([
  'overloaded_error',
  'overloaded',
  'api_error',
  'server_error',
  'internal_error',
  'internal_server_error',
  'server_is_overloaded',
  'service_unavailable',
  'service_unavailable_error',
  'slow_down',
  'rate_limit_error',
  'rate_limit_exceeded',
  'timeout_error',
]);

/** Returns whether a retry may succeed after an error within an answer that began as a success. */
export function isTransientError(type: string | null | undefined): boolean {
  return typeof type === 'string' && TRANSIENT_ERROR_TYPES.has(type);
}

/** Returns whether an error is permanent although its status is usually transient: an account without credit answers 429, too. */
export function isPermanentError(type: string | null | undefined): boolean {
  switch (codeOfStreamError(type)) {
    case 'llm_unauthorized':
    case 'llm_payment_required':
    case 'llm_forbidden':
    case 'llm_rejected':
      return true;
    default:
      return false;
  }
}
