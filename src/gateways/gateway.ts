import type { GatewayName } from '../contract/credential.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Usage } from '../contract/result.ts';
import type { Secret } from '../secrets/secret.ts';

/** A key and the tenant that it is minted for. */
export interface KeyIdentity {
  ref: KeyRef;
  jobId: string;
  tenant: string;
  /** Counts from 1 within its job. */
  generation: number;
}

export interface MintRequest extends KeyIdentity {
  /** The key itself, derived from its ref: a repeated request carries the same one. */
  secret: Secret;
  /** USD. */
  budgetUsd: number;
  /** The models that the key may use; never empty. */
  models: readonly string[];
  /** The gateway refuses the key from then on, even if no worker or proxy of ours runs. */
  expiresAt: Date;
}

/** A key whose intent is in the ledger, with its secret, for calls that make a request with it. */
export interface MintedKey {
  ref: KeyRef;
  secret: Secret;
  /** False where the ledger does not know whether the mint succeeded: its answer may have been lost. */
  wasMinted: boolean;
}

/** A key in a gateway's own list. */
export interface ListedKey {
  ref: KeyRef;
  /** The namespace and deployment that minted it. */
  owner: string;
  createdAt: Date;
}

/**
 * Mints, budgets and revokes keys.
 *
 * The caller (keys/) records each step in the ledger before it calls. An implementation never retries: every caller is an activity
 * that Temporal retries. Every method also throws `gateway_refused` where the gateway refuses our own credential: a mint then fails
 * its job; Temporal retries the other calls until an operator replaces the credential.
 */
export interface Gateway {
  readonly name: GatewayName;

  /**
   * Mints a key. Idempotent on ref: a repeat changes nothing. The caller retries. It never calls this for a ref whose end has begun.
   * Resolves when the gateway accepts the key.
   * @throws `gateway_unreachable` where the outcome is unknown or a retry may succeed, `gateway_refused` where no retry can succeed
   */
  mint(request: MintRequest): Promise<void>;

  /**
   * Moves the expiry of an active key, including a key that has expired already. Idempotent on ref and expiry. The caller retries with
   * its next renewal. An unknown or disabled key resolves and stays as it is. Absent where a gateway cannot change an expiry: the key
   * then stays valid until the deadline of its job, plus slack.
   * @throws `gateway_unreachable`
   */
  extend?(ref: KeyRef, expiresAt: Date): Promise<void>;

  /**
   * Disables a key. Idempotent on ref. The caller retries without limit. An unknown ref resolves. Resolves when the control plane has
   * accepted, not when traffic stops: `probe` checks that.
   * @throws `gateway_unreachable`
   */
  disable(ref: KeyRef): Promise<void>;

  /**
   * Makes a real request with the key and resolves to whether the data plane refuses it. Idempotent; the caller repeats it until it
   * resolves to true. A key that was never minted counts as refused.
   * @throws `gateway_unreachable` where the data plane gives no answer
   */
  probe(key: MintedKey): Promise<boolean>;

  /**
   * Reads the final usage of a revoked key. Idempotent on ref. The caller retries without limit. An unknown ref resolves to no usage.
   * @throws `gateway_unreachable` while the final figures are not available
   */
  spend(ref: KeyRef): Promise<Usage>;

  /**
   * Deletes a key. Idempotent on ref. The caller retries without limit. An unknown ref resolves. Absent where a gateway keeps revoked
   * keys.
   * @throws `gateway_unreachable`
   */
  delete?(ref: KeyRef): Promise<void>;

  /**
   * Lists the keys with our prefix, those of other owners included; the pages may have any size. Absent where the ledger itself is the
   * list. The next sweep repeats a list that failed.
   * @throws `gateway_unreachable`, also after some of the keys
   */
  list?(): AsyncIterable<ListedKey>;
}
