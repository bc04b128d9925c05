import type { KeyRef } from '../job/ref.ts';
import type { Usage } from '../job/result.ts';
import type { Secret } from '../secrets/secret.ts';

/** Which key, and whose. */
export interface KeyIdentity {
  ref: KeyRef;
  jobId: string;
  tenant: string;
  /** Counts from 1 within its job. */
  generation: number;
}

export interface MintRequest extends KeyIdentity {
  /** USD. */
  budgetUsd: number;
  /** The models that the key may use; never empty. */
  models: readonly string[];
  /** The key is dead by itself from then on. */
  expiresAt: Date;
}

/** What mints, budgets and revokes keys. An implementation never retries: every caller is an activity that Temporal retries. */
export interface Gateway {
  readonly name: string;

  /**
   * Idempotent on ref: a repeat returns the key that is there. The intent is on record before anything is live.
   * Throws `key_ended` for a ref whose end has begun, `gateway_unreachable` where the data plane does not answer.
   */
  mint(request: MintRequest): Promise<void>;

  /**
   * The secret of a minted key, for writing it into the sandbox. Throws `key_ended` where the ref is not live.
   */
  secret(ref: KeyRef): Promise<Secret>;

  /**
   * Idempotent on ref. An unknown ref resolves, and can never be minted afterwards. Resolves when the control plane
   * accepted, not when traffic stops: `probe` tells that.
   */
  disable(key: KeyIdentity): Promise<void>;

  /**
   * Whether the data plane refuses the key: it makes a real request with it. A key that never went live is refused.
   * Throws `gateway_unreachable`.
   */
  probe(ref: KeyRef): Promise<boolean>;

  /** What a dead key was used for, final. An unknown ref has used nothing. Throws `gateway_unreachable` while that is not known yet. */
  spend(ref: KeyRef): Promise<Usage>;
}
