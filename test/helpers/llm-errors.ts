import type { Step } from '../../src/dev/scripted-model/script.ts';

/** What the provider does, and the code by which a turn fails then. */
export const LLM_ERRORS: [string, Step, string][] = [
  ['answers 401', { fail: { status: 401 } }, 'llm_unauthorized'],
  ['answers 402', { fail: { status: 402 } }, 'llm_payment_required'],
  ['answers 403', { fail: { status: 403 } }, 'llm_forbidden'],
  ['answers 429', { fail: { status: 429 } }, 'llm_rate_limited'],
  ['answers 500', { fail: { status: 500 } }, 'llm_failed'],
  ['hangs', { hang: true }, 'llm_timeout'],
];
