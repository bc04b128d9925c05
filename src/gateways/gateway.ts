import type { KeyRef } from '../contract/ref.ts';
import type { Usage } from '../contract/result.ts';
import type { GatewayName } from '../contract/spec.ts';
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
  /** The key itself, derived from its ref: a repeat names the same. */
  secret: Secret;
  /** USD. */
  budgetUsd: number;
  /** The models that the key may use; never empty. */
  models: readonly string[];
  /** The key expires then, whatever becomes of us. */
  expiresAt: Date;
}

/** A key that was intended, for the calls that may have to show it. */
export interface MintedKey {
  ref: KeyRef;
  secret: Secret;
  /** False: the ledger does not know that it ever came to be; the answer to its mint may have been lost. */
  wasMinted: boolean;
}

/** One key as a gateway lists it. */
export interface ListedKey {
  ref: KeyRef;
  /** Namespace and deployment that minted it. */
  owner: string;
  createdAt: Date;
}

/**
 * What mints, budgets and revokes keys. Whoever calls has put it on record in the ledger before (keys/). An implementation never
 * retries: every caller is an activity that Temporal retries. Every call throws `gateway_refused`, too, where the gateway refuses our
 * own credential: a mint fails its job then, all others are tried on until somebody replaced it.
 */
export interface Gateway {
  readonly name: GatewayName;

  /**
   * Idempotent on ref: a repeat changes nothing. Never called for a ref whose end has begun. Throws `gateway_unreachable` where the
   * outcome is not known or a repeat may help, `gateway_refused` where none helps.
   */
  mint(request: MintRequest): Promise<void>;

  /**
   * Moves the expiry of a active key, also of one that is past it. Idempotent. An unknown or disabled key resolves and stays as it is.
   * Where it is absent a key lives to the deadline of its job, plus slack. Throws `gateway_unreachable`.
   */
  extend?(ref: KeyRef, expiresAt: Date): Promise<void>;

  /**
   * Idempotent on ref; an unknown one resolves. Resolves when the control plane accepted, not when traffic stops: `probe` tells that.
   * Throws `gateway_unreachable`.
   */
  disable(ref: KeyRef): Promise<void>;

  /** Whether the data plane refuses the key: it makes a real request with it. Throws `gateway_unreachable` where that is not to be had. */
  probe(key: MintedKey): Promise<boolean>;

  /**
   * What a revoked key was used for, final. An unknown ref has used nothing. Throws `gateway_unreachable` while that is not known yet.
   */
  spend(ref: KeyRef): Promise<Usage>;

  /** Idempotent on ref; an unknown one resolves. Absent where the gateway keeps its keys. Throws `gateway_unreachable`. */
  delete?(ref: KeyRef): Promise<void>;

  /**
   * The keys that bear our prefix, any number at a time, those of other owners included. Absent where the ledger itself is the list.
   * Throws `gateway_unreachable`, also in the midst of it.
   */
  list?(): AsyncIterable<ListedKey>;
}
