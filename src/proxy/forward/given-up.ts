import type { FailureCode } from '../../contract/errors.ts';

/** Why a request ended that was on its way. */
export const GIVEN_UP: Partial<Record<FailureCode, string>> = {
  llm_unauthorized: 'The provider refused the credential of the gateway.',
  llm_failed: 'The provider could not be reached, or broke off.',
  llm_timeout: 'The provider did not answer in time.',
  key_refused: 'The key has ended.',
  gateway_unreachable: 'The gateway is shutting down.',
  database_unreachable: 'The request could not be recorded.',
  cancelled: 'The caller left.',
};
