import type { GatewayName } from '../contract/gateway-name.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Usage } from '../contract/result.ts';
import type { Secret } from '../secrets/secret.ts';

/** A key as the ledger knows it, for the calls that find it at its gateway. */
export interface GatewayKey {
  ref: KeyRef;
  /** The gateway's own id of the key; null where it has none, or where the answer to the mint was lost. */
  id: string | null;
  /** How often a mint of the key was begun: a gateway that draws the secret may have made a key each time. */
  attempts: number;
}

export interface MintRequest extends GatewayKey {
  tenant: string;
  /** The job's key, which the proxy accepts; derived from the ref, so a repeated request has the same one. */
  secret: Secret;
  /** A second secret that is derived from the ref, for a gateway that lets the caller choose. The sandbox cannot compute it. */
  upstreamSecret: Secret;
  /** USD that the job may still spend. */
  budgetUsd: number;
  /** The models that the key may use; never empty. */
  models: readonly string[];
  /** The gateway refuses the key from then on, even if no worker or proxy of ours runs. */
  expiresAt: Date;
}

/** A key that a gateway of a third party has minted: the proxy sends it in place of the job's key. */
export interface UpstreamKey {
  secret: Secret;
  /** The gateway's own id of the key. */
  id: string;
}

/** A key with its secrets, for calls that make a request with it. */
export interface MintedKey extends GatewayKey {
  /** What the sandbox holds, as far as this worker knows it. */
  secret: Secret;
  upstreamSecret: Secret;
  /** The secret of the gateway's own key; null where there is none on record, or where only the proxies can open it. */
  mintedSecret: Secret | null;
  /** False where the ledger does not know whether the mint succeeded: its answer may have been lost. */
  wasMinted: boolean;
}

/** The proxy's own record of a key's usage. */
export interface MeteredUsage extends Usage {
  /** USD of the requests that were charged by an estimate: their answers stated no final usage. */
  estimatedUsd: number;
  /** Requests that succeeded with a stated usage. */
  completed: number;
  /** Requests that were charged by an estimate. */
  estimated: number;
  /** ms since the end of the key began: the proxy has sent no request with it since. */
  sinceEndMs: number;
}

/** A key in a gateway's own list. */
export interface ListedKey {
  ref: KeyRef;
  /** The gateway's own id of the key; null where it has none. */
  id: string | null;
  /** The namespace and deployment that minted it. */
  owner: string;
  createdAt: Date;
}

/**
 * Mints, budgets and revokes keys.
 *
 * The caller (keys/) records each step in the ledger before it calls. An implementation never retries: every caller is an activity
 * that Temporal retries. Every method also throws `gateway_refused` where the gateway refuses our own credential: a mint then fails
 * its job; Temporal retries the other calls until an operator replaces the credential. No error contains a part of an answer, which can
 * quote a key.
 */
export interface Gateway {
  readonly name: GatewayName;

  /**
   * Mints a key, and resolves when the gateway accepts it: to the key that the proxy sends, to null for the built-in gateway, where the
   * job's key is all there is. Idempotent on ref: where the gateway lets the caller choose the secret, a repeat changes nothing; else it
   * deletes what earlier attempts have left and mints again. The caller retries. It never calls this for a ref whose end has begun.
   * @throws `gateway_unreachable` where the outcome is unknown or a retry may succeed, `gateway_refused` where no retry can succeed
   */
  mint(request: MintRequest): Promise<UpstreamKey | null>;

  /**
   * Moves the expiry of an active key, including a key that has expired already. Idempotent on ref and expiry. The caller retries with
   * its next renewal. An unknown or disabled key resolves and stays as it is. Absent where a gateway cannot change an expiry: there the
   * key then expires with the deadline of its job, plus slack, while the proxy in front holds to the lease.
   * @throws `gateway_unreachable`
   */
  extend?(key: GatewayKey, expiresAt: Date): Promise<void>;

  /**
   * Disables a key, and all keys that lost answers left under its ref. Idempotent. The caller retries without limit. An unknown key
   * resolves. Resolves when the control plane has accepted, not when traffic stops: `probe` checks that.
   * @throws `gateway_unreachable`
   */
  disable(key: GatewayKey): Promise<void>;

  /**
   * Resolves to whether the gateway refuses the key: by its own record, and by a real request with the key where the worker knows its
   * secret. Idempotent; the caller repeats it until it resolves to true. A key that was never minted counts as refused.
   * @throws `gateway_unreachable` where the gateway gives no answer
   */
  probe(key: MintedKey): Promise<boolean>;

  /**
   * Reads the final usage of a revoked key; `metered` is the proxy's own record, for what the gateway does not count. Idempotent. The
   * caller retries without limit. An unknown key resolves to no usage.
   * @throws `gateway_unreachable` while the final figures are not available
   */
  spend(key: GatewayKey, metered: MeteredUsage): Promise<Usage>;

  /**
   * Deletes a key, and all keys under its ref. Idempotent. The caller retries without limit. An unknown key resolves. Absent where a
   * gateway keeps revoked keys.
   * @throws `gateway_unreachable`
   */
  delete?(key: GatewayKey): Promise<void>;

  /**
   * Lists the keys with our prefix, those of other owners included; the pages may have any size. Absent where the ledger itself is the
   * list. The next sweep repeats a list that failed.
   * @throws `gateway_unreachable`, also after some of the keys
   */
  list?(): AsyncIterable<ListedKey>;

  /**
   * Checks what a worker needs of the gateway: its address, our credential, its settings. Resolves to the problems that would fail jobs,
   * each a sentence with what to do. Absent where there is nothing to check.
   */
  check?(): Promise<string[]>;
}

/** A gateway whose spend is what the proxy has metered. */
export interface MeteredGateway extends Gateway {
  spend(key: GatewayKey): Promise<MeteredUsage>;
}
