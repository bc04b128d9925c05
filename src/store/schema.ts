import type { ColumnType, Generated } from 'kysely';

import type { JobCredential } from '../contract/credential.ts';
import type { Dialect } from '../contract/dialect.ts';
import type { GatewayName } from '../contract/gateway-name.ts';
import type { EndCause, KeyState } from '../contract/key.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { JobResult, Outcome } from '../contract/result.ts';
import type { SandboxProviderName } from '../contract/sandbox-provider.ts';

/** The driver returns `numeric` as a string, which keeps money exact. */
type Numeric = ColumnType<string, number | string, number | string>;
/** The driver returns `bigint` as a string. */
type Count = ColumnType<string, number | string | undefined, number | string>;
type Timestamp = ColumnType<Date, Date | string, Date | string>;
type DefaultTimestamp = ColumnType<Date, Date | string | undefined, Date | string>;
type DefaultNumeric = ColumnType<string, number | string | undefined, number | string>;
type NullableTimestamp = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

/**
 * The key ledger: every key that was ever intended, including those that were never minted. Rows are never deleted.
 *
 * key-transitions.ts has the transitions of `state`, as a diagram, and every statement that makes one.
 *
 * Columns are written only by these functions (`beginEnd` writes all of them for a ref without an intent):
 *
 *     identity, models, credential, budget, hard_expires_at, intended_at   recordIntent, once
 *     mint_attempts                                            recordIntent
 *     secret_hash, upstream_sealed, upstream_id, minted_at     activateKey
 *     bound_at                                                 markBound
 *     expires_at                                               extendLeases, markBound, only while the end has not begun
 *     ending_at, cause                                         beginEnd, beginEnds, once
 *     disabled_at … ended_at, attempts, retry_at, last_error   recordEnd
 *     spent_usd, estimated_usd, tokens, requests               closeRequests (requests.ts), chargeAbandoned (request-records.ts);
 *                                                              recordEnd raises them to the gateway's own figure
 *     first_used_at, suspended_at, refused uses                the proxy (request-records.ts)
 *     checked_at, orphan_since                                 the sweep (sightings.ts)
 */
export interface KeysTable {
  ref: KeyRef;
  job_id: string;
  tenant: string;
  generation: number;
  gateway: GatewayName;
  /** The namespace and deployment whose workers minted the key: only they end it. */
  owner: string;
  state: KeyState;
  /** The id of the root key that the secret is derived from. */
  root_key_id: string;
  /** SHA-256 of the secret, by which the proxy looks up a key. The secret itself is stored nowhere. */
  secret_hash: Buffer | null;
  /** The key that a gateway of a third party minted, sealed for the proxies; null for the built-in gateway. */
  upstream_sealed: string | null;
  /** The gateway's own id of that key. */
  upstream_id: string | null;
  /** How often the mint was begun. */
  mint_attempts: Generated<number>;
  models: string[];
  /** The upstream credential that the proxy sends in the key's place. */
  credential: ColumnType<JobCredential, string | undefined, never>;
  budget_usd: Numeric;
  spent_usd: DefaultNumeric;
  /** The part of `spent_usd` that was charged by reservation, since the provider's figure is unknown or impossible. */
  estimated_usd: DefaultNumeric;
  input_tokens: Count;
  output_tokens: Count;
  requests: Count;
  /** When a charge could not be recorded: the proxy refuses the key from then on. */
  suspended_at: NullableTimestamp;
  /** Requests that were refused because the key had ended. */
  refused_requests: Count;
  last_refused_at: NullableTimestamp;
  /** The end of the lease: the gateway refuses the key from then on, until the lease is renewed. */
  expires_at: Timestamp;
  /** No lease extends beyond this time. */
  hard_expires_at: Timestamp;
  intended_at: DefaultTimestamp;
  minted_at: NullableTimestamp;
  bound_at: NullableTimestamp;
  first_used_at: NullableTimestamp;
  /** When its end began: the key is never minted or renewed again. */
  ending_at: NullableTimestamp;
  cause: EndCause | null;
  /** When the gateway's control plane accepted the end. */
  disabled_at: NullableTimestamp;
  /** When a request with the key was refused. */
  revoked_at: NullableTimestamp;
  /** When the spend became final. */
  settled_at: NullableTimestamp;
  /** When the gateway deleted the key; null where a gateway keeps revoked keys. */
  deleted_at: NullableTimestamp;
  /** When the end was complete. */
  ended_at: NullableTimestamp;
  /** Failed attempts at the end. */
  attempts: Generated<number>;
  /** The next attempt may run from then on; null where the last attempt did not fail. */
  retry_at: NullableTimestamp;
  /** FailureCode of the last failed attempt. */
  last_error: string | null;
  /** When a sweep last checked the key. */
  checked_at: NullableTimestamp;
  /** When a sweep first found the key orphaned; null once its job is found running. */
  orphan_since: NullableTimestamp;
}

/** Orphans that a sweep found, and that it ends when it finds them again. */
export interface SightingsTable {
  kind: string;
  id: string;
  first_at: DefaultTimestamp;
  last_at: DefaultTimestamp;
}

/** Tenants that get no key until they are unblocked. */
export interface BlockedTenantsTable {
  tenant: string;
  blocked_at: DefaultTimestamp;
}

/** Worker processes; each row stays for a day after its last heartbeat. */
export interface WorkersTable {
  owner: string;
  /** The worker's identity at Temporal. */
  id: string;
  /** The task queue of the worker's host. */
  task_queue: string;
  /** The gateways that it is configured with. */
  gateways: Generated<GatewayName[]>;
  /** The sandbox providers that it is configured with. */
  sandbox_providers: Generated<SandboxProviderName[]>;
  /** Since when it takes no more work and moves its jobs to other hosts; null: it does not. */
  draining_at: Date | null;
  seen_at: DefaultTimestamp;
}

/** Running sandboxes that only their own host can drive and stop. */
export interface SandboxesTable {
  owner: string;
  job_id: string;
  id: string;
  task_queue: string;
  started_at: DefaultTimestamp;
  /** When its job abandoned it: the host stops it. */
  lost_at: NullableTimestamp;
}

/** The stored upstream credentials; the newest version of each dialect, tenant and name is in use. */
export interface UpstreamCredentialsTable {
  dialect: Dialect;
  /** Empty for the organization. */
  tenant: ColumnType<string, string | undefined, string>;
  /** `default` for the one that the strategy `gateway` uses. */
  name: ColumnType<string, string | undefined, string>;
  version: number;
  /** Sealed for the gateways' sealing key. */
  sealed: string;
  created_at: DefaultTimestamp;
  /** When a proxy last sent it, at most a minute late. */
  last_used_at: NullableTimestamp;
  /** A refresh of a login stored it. */
  refreshed: Generated<boolean>;
  /** The proxy that refreshes the login; null where none does. */
  refresher: string | null;
  /** Nobody else refreshes the login before. */
  refresher_until: NullableTimestamp;
  /** When the provider refused to refresh the login. */
  needs_login_at: NullableTimestamp;
}

/** One request with a known key, refused requests included. */
export interface RequestsTable {
  id: Generated<string>;
  ref: string;
  protocol: string;
  model: string | null;
  /** The HTTP status that the caller received; null while the request runs. */
  status: number | null;
  /** FailureCode; null for a success. */
  code: string | null;
  input_tokens: Count;
  output_tokens: Count;
  usd: DefaultNumeric;
  /** The highest possible cost: reserved from the job's budget while the request runs, and charged where the cost stays unknown. */
  reserved_usd: DefaultNumeric;
  /** `usd` is the reservation, not the provider's figure. */
  estimated: Generated<boolean>;
  /** The provider stated an impossible usage. */
  implausible: Generated<boolean>;
  /** ModelStop; null where the model stopped normally. */
  stop: string | null;
  /** The id of the proxy replica that served the request. */
  proxy: string | null;
  /** How often the request was sent to the provider. */
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

/** One row per job, written once: the settled usage and the outcome. */
export interface SettlementsTable {
  job_id: string;
  tenant: string;
  outcome: Outcome;
  usd: Numeric;
  input_tokens: Count;
  output_tokens: Count;
  requests: Count;
  result: ColumnType<JobResult, string, string>;
  /** The job's lease id: another job under the same job id has another lease id, and does not change this row. */
  lease_id: string;
  /** The run that settled last: after a reset a newer run settles again. */
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

/** The last two checkpoints of each job. Their parts are blobs. */
export interface CheckpointsTable {
  job_id: string;
  tenant: string;
  agent: string;
  /** The turn after which it was stored; 0: that of the job that this one continues. */
  turn: number;
  start_commit: string;
  /** The state of the session, as the session’s own schema checks it. */
  session: ColumnType<unknown, string, string>;
  /** Of its parts, together. */
  bytes: number;
  /** Whether it holds all that the agent changed. */
  complete: boolean;
  stored_at: DefaultTimestamp;
}

/** What the workspaces of a tenant started from, each stored once for all its jobs. The content is a blob. */
export interface WorkspaceStartsTable {
  tenant: string;
  start_commit: string;
  bytes: number;
  used_at: DefaultTimestamp;
}

/** Contents in parts of 1 MiB. */
export interface BlobsTable {
  key: string;
  /** From 0. */
  part: number;
  content: Buffer;
}

/** The texts of prompts. Temporal gets only their hashes. */
export interface PromptsTable {
  job_id: string;
  /** SHA-256 of `text`, hex. */
  sha256: string;
  /** UTF-8; a `text` column cannot hold a NUL. */
  text: Buffer;
  stored_at: DefaultTimestamp;
}

/** One row per turn that ended with a stop reason. */
export interface TurnsTable {
  job_id: string;
  turn: number;
  stop_reason: string;
  /** The agent's text as the session stored it, UTF-8. */
  message: Buffer;
  ended_at: DefaultTimestamp;
}

/** Running proxy replicas. */
export interface ProxiesTable {
  id: string;
  seen_at: DefaultTimestamp;
}

/** Rate limits over all replicas. */
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
  checkpoints: CheckpointsTable;
  workspace_starts: WorkspaceStartsTable;
  blobs: BlobsTable;
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
