import type { Strategy } from './credential.ts';
import type { FailureCode } from './errors.ts';
import type { GatewayName } from './gateway-name.ts';
import type { EndCause, KeyState } from './key.ts';
import type { KeyRef } from './ref.ts';

/** One key, as the ledger has it; instants in ISO 8601. */
export interface KeyInfo {
  /** Names the key: `<job>/<lease>/<generation>`. */
  ref: KeyRef;
  /** Id of its job. */
  jobId: string;
  /** Whom its job runs for. */
  tenant: string;
  /** Number of the key within its job, from 1. */
  generation: number;
  /** The gateway that minted it. */
  gateway: GatewayName;
  /** Whose credential the gateway sends to the provider in its place. */
  strategy: Strategy;
  /** "direct": the sandbox holds the upstream credential itself; "brokered": a key that only our proxy accepts. */
  delivery: 'brokered' | 'direct';
  /** State of the key. */
  state: KeyState;
  /** Why its end has begun; null while it has not. */
  cause: EndCause | null;
  /** ISO 8601: when its mint began. */
  createdAt: string;
  /** ISO 8601; null: its mint did not succeed. */
  mintedAt: string | null;
  /** End of its lease: renewed while its job runs. */
  expiresAt: string;
  /** Null until nothing is left to do about it. */
  endedAt: string | null;
  /** USD. */
  spentUsd: number;
  /** The part of it that was charged by reservation, since the provider's figure is unknown or cannot be true. */
  estimatedUsd: number;
  /** Requests that were refused since it had ended; counted with up to a minute's delay. */
  refusedRequests: number;
  /** How often its end was tried and failed. */
  attempts: number;
  /** Why the last attempt failed; null where none did. */
  lastError: FailureCode | null;
  /** Not before then its end is tried again; null where the last attempt did not fail. */
  retryAt: string | null;
}
