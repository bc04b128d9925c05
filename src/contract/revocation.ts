import type { FailureCode } from './errors.ts';
import type { KeyRef } from './ref.ts';

/** Whose keys are revoked: those of one job, those of a tenant, or one key. */
export type RevokeTarget = { jobId: string } | { tenant: string } | { ref: KeyRef };

/** A key whose end failed. */
export interface FailedEnd {
  /** Names the key. */
  ref: KeyRef;
  /** Why its end failed. */
  code: FailureCode;
}

/** The result of the workflow `revokeKeys`. */
export interface EndedKeys {
  ended: number;
  /** The keys whose end failed, at most `MAX_FAILED`; the sweep continues with them. */
  failed: FailedEnd[];
}

/** A tenant that gets no keys. */
export interface BlockedTenant {
  /** Id of the tenant. */
  tenant: string;
  /** ISO 8601. */
  blockedAt: string;
}

/** A tenant that never had a key. */
export interface UnknownTenant {
  /** The known tenant whose name is most alike; null where none is. */
  nearest: string | null;
}

/** The progress of a revocation. */
export interface RevokeReport {
  /** Keys that this revocation disabled: the ledger neither mints nor renews them, and the built-in gateway refuses them. */
  disabled: number;
  /** Keys whose revocation was verified by a refused request, and whose spend is settled. */
  ended: number;
  /** Disabled keys whose revocation is not verified yet; the workers continue with them. */
  pending: number;
  /** Set where the tenant never had a key, so that its name may be misspelt; null for a known tenant and for other targets. */
  unknownTenant: UnknownTenant | null;
  /** The pending keys whose end was tried and failed, at most `MAX_FAILED`. */
  failed: FailedEnd[];
}

/** A report goes into Temporal's history. */
export const MAX_FAILED = 100;
export const REVOKE_WORKFLOW = 'revokeKeys';
