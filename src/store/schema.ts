import type { ColumnType, Generated } from 'kysely';

import type { Dialect } from '../contract/dialect.ts';
import type { EndCause, KeyState } from '../contract/key.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { JobResult, Outcome } from '../contract/result.ts';
import type { GatewayName } from '../contract/spec.ts';

/** `numeric` comes back as a string, which keeps money exact. */
type Numeric = ColumnType<string, number | string, number | string>;
/** `bigint` comes back as a string. */
type Count = ColumnType<string, number | string | undefined, number | string>;
type Timestamp = ColumnType<Date, Date | string, Date | string>;
type DefaultTimestamp = ColumnType<Date, Date | string | undefined, Date | string>;
type DefaultNumeric = ColumnType<string, number | string | undefined, number | string>;
type NullableTimestamp = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

/** The key ledger: every key that was ever intended, also those that never came to be. */
export interface KeysTable {
  ref: KeyRef;
  job_id: string;
  tenant: string;
  generation: number;
  gateway: GatewayName;
  /** Namespace and deployment whose workers minted it: only they end it. */
  owner: string;
  state: KeyState;
  /** Names the root key that the secret is derived from. */
  root_key_id: string;
  /** SHA-256 of the secret: what the proxy looks a key up by. The secret itself is nowhere. */
  secret_hash: Buffer | null;
  models: string[];
  budget_usd: Numeric;
  spent_usd: DefaultNumeric;
  /** The part of `spent_usd` that was charged by reservation, since the provider's figure is unknown or cannot be true. */
  estimated_usd: DefaultNumeric;
  input_tokens: Count;
  output_tokens: Count;
  requests: Count;
  /** A charge could not be recorded: the proxy refuses the key from then on. */
  suspended_at: NullableTimestamp;
  /** Requests that were refused since the key had ended. */
  refused_requests: Count;
  last_refused_at: NullableTimestamp;
  /** End of the lease: the gateway refuses the key from then on, until the lease is renewed. */
  expires_at: Timestamp;
  /** No lease goes beyond. */
  hard_expires_at: Timestamp;
  intended_at: DefaultTimestamp;
  minted_at: NullableTimestamp;
  bound_at: NullableTimestamp;
  first_used_at: NullableTimestamp;
  /** Its end has begun: it is never minted or renewed again. */
  ending_at: NullableTimestamp;
  cause: EndCause | null;
  /** The gateway accepted its end. */
  disabled_at: NullableTimestamp;
  /** A request with it was seen refused. */
  revoked_at: NullableTimestamp;
  /** Its spend is final. */
  settled_at: NullableTimestamp;
  /** The gateway has forgotten it; null where it keeps keys. */
  deleted_at: NullableTimestamp;
  /** Nothing is left to do. */
  ended_at: NullableTimestamp;
  /** Of its end, that failed. */
  attempts: Generated<number>;
  retry_at: NullableTimestamp;
  /** FailureCode of the last one. */
  last_error: string | null;
  /** When the inventory looked at it last. */
  checked_at: NullableTimestamp;
  /** Since when the inventory has found it without a job. */
  orphan_since: NullableTimestamp;
}

/** What an inventory found that nobody owns, and acts upon when it finds it again. */
export interface SightingsTable {
  kind: string;
  id: string;
  first_at: DefaultTimestamp;
  last_at: DefaultTimestamp;
}

/** Tenants that get no key until they are let in again. */
export interface BlockedTenantsTable {
  tenant: string;
  blocked_at: DefaultTimestamp;
}

/** Worker processes, each as long as it is there and for a day after. */
export interface WorkersTable {
  owner: string;
  /** Its identity at Temporal. */
  id: string;
  /** Of its host. */
  task_queue: string;
  seen_at: DefaultTimestamp;
}

/** Sandboxes that only their own host can drive and end, from their start to their end. */
export interface SandboxesTable {
  owner: string;
  job_id: string;
  id: string;
  task_queue: string;
  started_at: DefaultTimestamp;
  /** Its job has given it up: its host ends it. */
  lost_at: NullableTimestamp;
}

/** The gateway's own credentials at the providers; of each dialect and tenant the newest version counts. */
export interface UpstreamCredentialsTable {
  dialect: Dialect;
  /** Empty: the organization's, for every tenant without its own. */
  tenant: ColumnType<string, string | undefined, string>;
  version: number;
  /** For the gateways' sealing key. */
  sealed: string;
  created_at: DefaultTimestamp;
}

/** One request that the proxy saw with a known key, refused ones included. */
export interface RequestsTable {
  id: Generated<string>;
  ref: string;
  protocol: string;
  model: string | null;
  /** HTTP status that the caller got; null while it runs. */
  status: number | null;
  /** FailureCode, null for a success. */
  code: string | null;
  input_tokens: Count;
  output_tokens: Count;
  usd: DefaultNumeric;
  /** The most that it can cost, held of its job's budget while it runs; what it is charged where its cost stays unknown. */
  reserved_usd: DefaultNumeric;
  /** `usd` is the reservation, not the provider's figure. */
  estimated: Generated<boolean>;
  /** The provider stated a usage that cannot be true. */
  implausible: Generated<boolean>;
  /** ModelStop, null where the model stopped as it should. */
  stop: string | null;
  /** The replica that sent it. */
  proxy: string | null;
  /** How often it was sent to the provider. */
  tries: Generated<number>;
  started_at: DefaultTimestamp;
  ended_at: NullableTimestamp;
}

export interface EventsTable {
  job_id: string;
  seq: number;
  at: DefaultTimestamp;
  type: string;
  body: ColumnType<unknown, string, never>;
  /** Names the occurrence, so that a retried writer stores it once. */
  source: string;
}

/** One row a job, written once: what was settled and how the job ended. */
export interface SettlementsTable {
  job_id: string;
  tenant: string;
  outcome: Outcome;
  usd: Numeric;
  input_tokens: Count;
  output_tokens: Count;
  requests: Count;
  result: ColumnType<JobResult, string, string>;
  /** The job's lease: a job of another lease under the same id does not touch it. */
  lease_id: string;
  /** The run that settled last: after a reset another one goes on. */
  run_id: string;
  settled_at: DefaultTimestamp;
}

export interface ArtifactsTable {
  job_id: string;
  name: string;
  bytes: number;
  sha256: string;
  content: Buffer;
}

/** The texts of prompts, which Temporal gets by their hash only. */
export interface PromptsTable {
  job_id: string;
  /** Hex, of `text`. */
  sha256: string;
  /** UTF-8: a column of text could not hold a NUL. */
  text: Buffer;
  stored_at: DefaultTimestamp;
}

/** One row per turn that ended with a stop reason. */
export interface TurnsTable {
  job_id: string;
  turn: number;
  stop_reason: string;
  /** The agent's text, in UTF-8: its last 16 KiB. */
  message: Buffer;
  ended_at: DefaultTimestamp;
}

/** Replicas of the proxy that run. */
export interface ProxiesTable {
  id: string;
  seen_at: DefaultTimestamp;
}

/** Rates that hold over all replicas. */
export interface RateBucketsTable {
  scope: string;
  /** When the bucket is full again. */
  full_at: DefaultTimestamp;
}

/** Models that the gateways' price files add or override. */
export interface PricedModelsTable {
  dialect: Dialect;
  name: string;
  prices: ColumnType<unknown, string, string>;
}

export interface Schema {
  keys: KeysTable;
  requests: RequestsTable;
  events: EventsTable;
  settlements: SettlementsTable;
  artifacts: ArtifactsTable;
  prompts: PromptsTable;
  turns: TurnsTable;
  sightings: SightingsTable;
  blocked_tenants: BlockedTenantsTable;
  workers: WorkersTable;
  sandboxes: SandboxesTable;
  upstream_credentials: UpstreamCredentialsTable;
  proxies: ProxiesTable;
  rate_buckets: RateBucketsTable;
  priced_models: PricedModelsTable;
}
