import type { Answer } from '../gateway/answer.ts';

/** The API that a request came by. */
export type Skin = 'chat' | 'messages' | 'responses';

/** Why the data plane refuses a request. */
export type Refusal = 'unauthorized' | 'key_limit' | 'no_credit' | 'in_flight_budget' | 'model_not_allowed';

/** What the documentation and live accounts disagree on. */
export interface RefusalStatuses {
  /** Of a key whose limit is spent. 402: https://openrouter.ai/docs/api_reference/limits. 403: measured (RooCodeInc/Roo-Code#515, MCPJam/inspector#1287). */
  keyLimit: 402 | 403;
  /** Of a model that the guardrail does not allow. 403: https://openrouter.ai/docs/guides/features/guardrails. 404: measured (truefoundry/models#826). */
  model: 403 | 404;
}

interface Cause {
  status: number;
  errorType: string;
  message: string;
  metadata: object;
}

/** The native types of the Messages API, by `error_type` (https://openrouter.ai/docs/api_reference/errors-and-debugging). */
const MESSAGES_TYPES: Record<string, string> = {
  authentication: 'authentication_error',
  payment_required: 'billing_error',
  permission_denied: 'permission_error',
  not_found: 'not_found_error',
};

/**
 * The answer to a refused request. `error_type` is in `error.metadata` (chat), in `error` (Messages) and at the top level (Responses)
 * (https://openrouter.ai/docs/api_reference/errors-and-debugging, "Skin-specific error formats"). `user_id` is that of the account: live
 * answers have it beside `error`.
 */
export function refuse(skin: Skin, refusal: Refusal, statuses: RefusalStatuses): Answer {
  const { status, errorType, message, metadata } = causeOf(refusal, statuses);
  const account = { user_id: 'user_2dHFtVWx2n56w6HkM0000000000' };
  // Measured: refusals before the router has begun come in the plain envelope in every API, and without a type.
  if (refusal === 'key_limit' && status === 403) return { status, body: { error: { message, code: status }, ...account } };
  switch (skin) {
    case 'chat':
      return { status, body: { error: { code: status, message, metadata: { error_type: errorType, ...metadata } }, ...account } };
    case 'messages': {
      const error = { type: MESSAGES_TYPES[errorType] ?? 'api_error', message, error_type: errorType };
      return { status, body: { type: 'error', error, request_id: null } };
    }
    case 'responses': {
      // All of these types collapse to `server_error`.
      const error = { code: 'server_error', message };
      return { status, body: { id: 'resp_fake', object: 'response', status: 'failed', error, error_type: errorType } };
    }
  }
}

function causeOf(refusal: Refusal, statuses: RefusalStatuses): Cause {
  switch (refusal) {
    case 'unauthorized':
      return { status: 401, errorType: 'authentication', message: 'User not found.', metadata: {} };
    case 'key_limit':
      return {
        status: statuses.keyLimit,
        errorType: 'payment_required',
        message: 'Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys',
        metadata: { limit_source: 'openrouter_key_limit' },
      };
    case 'no_credit':
      return {
        status: 402,
        errorType: 'payment_required',
        message: 'Insufficient credits. Add more using https://openrouter.ai/settings/credits',
        metadata: { limit_source: 'openrouter_credits' },
      };
    case 'in_flight_budget':
      return {
        status: 402,
        errorType: 'payment_required',
        message:
          'This request would exceed your available credits given your current in-flight requests. Retry after in-flight requests settle, or add credits.',
        metadata: { reason: 'in_flight_budget_exhausted', limit_source: 'openrouter_in_flight_budget' },
      };
    case 'model_not_allowed':
      return {
        status: statuses.model,
        errorType: statuses.model === 404 ? 'not_found' : 'permission_denied',
        message:
          'No endpoints available matching your guardrail restrictions and data policy. Configure: https://openrouter.ai/settings/privacy',
        metadata: {},
      };
  }
}
