import type { FailureCode } from './errors.ts';
import type { KeyRef } from './ref.ts';

/** Whose keys are revoked: those of one job, those of a tenant, or one key. */
export type RevokeTarget = { jobId: string } | { tenant: string } | { ref: KeyRef };

export interface FailedEnd {
  ref: KeyRef;
  code: FailureCode;
}

/** The result of the workflow `revokeKeys`. */
export interface EndedKeys {
  ended: number;
  /** The keys whose end failed, at most `MAX_FAILED`; the sweep continues with them. */
  failed: FailedEnd[];
}

/** The progress of a revocation. */
export interface RevokeReport {
  /** Keys that this revocation disabled: the ledger neither mints nor renews them, and the built-in gateway refuses them. */
  disabled: number;
  /** Keys whose revocation was verified by a refused request, and whose spend is settled. */
  ended: number;
  /** Disabled keys whose revocation is not verified yet; the workers continue with them. */
  pending: number;
  /** The pending keys whose end was tried and failed, at most `MAX_FAILED`. */
  failed: FailedEnd[];
}

/** A report goes into Temporal's history. */
export const MAX_FAILED = 100;
export const REVOKE_WORKFLOW = 'revokeKeys';
