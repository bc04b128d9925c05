import type { Database } from '../store/database.ts';
import type { TemporalClient } from '../temporal/connect-when-needed.ts';
import type { Calls } from './calls.ts';

/** What a client works with. */
export interface ClientContext {
  temporal: TemporalClient;
  database: Database;
  taskQueue: string;
  /** Name of the installation: its schedules bear it. */
  deployment: string;
  /** Whose keys it sees and ends. */
  owner: string;
  calls: Calls;
  /** The only tenant whose jobs and keys it sees; null: it sees all of them. */
  tenant: string | null;
}
