import type { ColumnType, Generated } from 'kysely';

import type { KeyRef } from '../job/ref.ts';
import type { JobResult, Outcome } from '../job/result.ts';

/** `numeric` comes back as a string, which keeps money exact. */
type Numeric = ColumnType<string, number | string, number | string>;
type Timestamp = ColumnType<Date, Date | string, Date | string>;
type DefaultTimestamp = ColumnType<Date, Date | string | undefined, Date | string>;
type DefaultNumeric = ColumnType<string, number | string | undefined, number | string>;
type NullableTimestamp = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

/** minting → live → disabled → dead; `stuck`: its end was tried and did not succeed yet. */
export type KeyState = 'minting' | 'live' | 'disabled' | 'dead' | 'stuck';

/** The key ledger: every key that was ever intended, also those that never came to be. */
export interface KeysTable {
  ref: KeyRef;
  job_id: string;
  tenant: string;
  generation: number;
  gateway: string;
  state: KeyState;
  /** SHA-256 of the secret: what the proxy looks a key up by. The secret itself is nowhere. */
  secret_hash: Buffer | null;
  models: string[];
  budget_usd: Numeric;
  spent_usd: DefaultNumeric;
  input_tokens: Generated<number>;
  output_tokens: Generated<number>;
  requests: Generated<number>;
  expires_at: Timestamp;
  intended_at: DefaultTimestamp;
  minted_at: NullableTimestamp;
  bound_at: NullableTimestamp;
  first_used_at: NullableTimestamp;
  disabled_at: NullableTimestamp;
  dead_at: NullableTimestamp;
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
  input_tokens: Generated<number>;
  output_tokens: Generated<number>;
  usd: DefaultNumeric;
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
  input_tokens: number;
  output_tokens: number;
  requests: number;
  result: ColumnType<JobResult, string, string>;
  settled_at: DefaultTimestamp;
}

export interface ArtifactsTable {
  job_id: string;
  name: string;
  bytes: number;
  sha256: string;
  content: Buffer;
}

export interface Schema {
  keys: KeysTable;
  requests: RequestsTable;
  events: EventsTable;
  settlements: SettlementsTable;
  artifacts: ArtifactsTable;
}
