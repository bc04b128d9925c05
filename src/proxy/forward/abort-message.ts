import type { FailureCode } from '../../contract/errors.ts';

const MESSAGES: Partial<Record<FailureCode, string>> = {
  llm_unauthorized: 'The provider refused the credential of the gateway.',
  credential_needs_login: 'The login of the tenant to its plan was refused. It has to be made again.',
  llm_failed: 'The provider could not be reached, or its connection broke.',
  llm_timeout: 'The provider did not answer in time.',
  key_refused: 'The key has ended.',
  budget_exhausted: 'The budget of the key is spent.',
  gateway_unreachable: 'The gateway is shutting down. Retry the request.',
  database_unreachable: 'The request could not be recorded. Retry it later.',
  cancelled: 'The caller disconnected.',
};

/** Returns the message for a caller whose request was aborted while it ran. */
export function abortMessage(code: FailureCode): string {
  return MESSAGES[code] ?? 'The request was aborted.';
}
