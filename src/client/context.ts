import type { Client } from '@temporalio/client';

import type { Database } from '../store/database.ts';

/** What a client works with. */
export interface ClientContext {
  temporal: Client;
  database: Database;
  taskQueue: string;
  /** Name of the installation: its schedules bear it. */
  deployment: string;
  /** Whose keys it sees and ends. */
  owner: string;
}
