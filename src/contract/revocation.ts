import type { FailureCode } from './errors.ts';
import type { KeyRef } from './ref.ts';

/** Whose keys are revoked: those of one job, those of a tenant, or one key. */
export type RevokeTarget = { jobId: string } | { tenant: string } | { ref: KeyRef };

export interface FailedEnd {
  ref: KeyRef;
  code: FailureCode;
}

/** What a run of the workflow `revokeKeys` did. */
export interface EndedKeys {
  ended: number;
  /** Keys whose end failed, the first of them; the sweep goes on with it. */
  failed: FailedEnd[];
}

/** What a revocation did, and what is left of it. */
export interface RevokeReport {
  /** Keys whose end began with it: the ledger neither mints nor renews them, and the built-in gateway refuses them. */
  disabled: number;
  /** Keys that were seen refused, and whose spend is settled. */
  ended: number;
  /** Keys whose end has begun and is not over: the workers go on with it. */
  pending: number;
  /** Of the pending, those whose end was tried and failed, at most `MAX_FAILED`. */
  failed: FailedEnd[];
}

/** A report goes into Temporal's history. */
export const MAX_FAILED = 100;
export const REVOKE_WORKFLOW = 'revokeKeys';
