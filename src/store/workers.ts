import { sql } from 'kysely';

import type { GatewayName } from '../contract/gateway-name.ts';
import type { SandboxProviderName } from '../contract/sandbox-provider.ts';
import { asDatabaseError, type Db } from './database.ts';

/** The row of a worker is deleted after this time without a heartbeat. */
const WORKER_RETENTION = '1 day';
/** The row of an abandoned sandbox is deleted after this time: its host did not come back. */
const ABANDONED_SANDBOX_RETENTION = '90 days';
/** A worker counts as present for this long after a heartbeat: longer than its restart takes. */
const PRESENCE_TIMEOUT = '1 minute';

/** A worker process: its identity at Temporal, the task queue of its host, and what it is configured with. */
export interface WorkerProcess {
  id: string;
  taskQueue: string;
  /** The gateways that it can mint keys at. */
  gateways: readonly GatewayName[];
  /** The providers that it can start sandboxes with. */
  sandboxProviders: readonly SandboxProviderName[];
}

/** A worker and its last heartbeat. */
export interface SeenWorker extends Omit<WorkerProcess, 'gateways' | 'sandboxProviders'> {
  seenAtMs: number;
  /** ms since the heartbeat, by the clock of Postgres. */
  agoMs: number;
}

/** Records the heartbeat of a worker process. Resolves to whether it is to drain. Idempotent. Throws `database_unreachable`. */
export async function recordWorkerHeartbeat(
  db: Db,
  owner: string,
  { id, taskQueue, gateways, sandboxProviders }: WorkerProcess,
): Promise<boolean> {
  const { rows } = await asDatabaseError(
    sql<{ is_draining: boolean }>`
      insert into workers (owner, id, task_queue, gateways, sandbox_providers)
      values (${owner}, ${id}, ${taskQueue}, ${[...gateways]}::text[], ${[...sandboxProviders]}::text[])
      on conflict (owner, id) do update set seen_at = now()
      returning draining_at is not null as is_draining`.execute(db),
  );
  return rows[0]?.is_draining === true;
}

/** Has the worker processes of a host drain. Resolves to their number. Idempotent. Throws `database_unreachable`. */
export async function drainWorkers(db: Db, owner: string, taskQueue: string): Promise<number> {
  const { numAffectedRows } = await asDatabaseError(
    sql`
      update workers set draining_at = coalesce(draining_at, now())
      where owner = ${owner} and task_queue = ${taskQueue} and seen_at > now() - ${PRESENCE_TIMEOUT}::interval`.execute(db),
  );
  return Number(numAffectedRows ?? 0);
}

/** Whether a host other than the one with that task queue has a worker that takes work. Throws `database_unreachable`. */
export async function hasWorkerBeside(db: Db, owner: string, taskQueue: string): Promise<boolean> {
  return (await presentWorkers(db, owner)).some((worker) => worker.task_queue !== taskQueue && worker.draining_at === null);
}

/** Lists the worker processes of an owner, including those that ended within the last day. Throws `database_unreachable`. */
export async function listWorkers(db: Db, owner: string): Promise<SeenWorker[]> {
  const { rows } = await asDatabaseError(
    sql<{ id: string; task_queue: string; seen_at: Date; ago_ms: number }>`
      select id, task_queue, seen_at, (extract(epoch from now() - seen_at) * 1000)::float8 as ago_ms
      from workers where owner = ${owner} and seen_at > now() - ${WORKER_RETENTION}::interval`.execute(db),
  );
  return rows.map(({ id, task_queue, seen_at, ago_ms }) => ({ id, taskQueue: task_queue, seenAtMs: seen_at.getTime(), agoMs: ago_ms }));
}

/** Lists the task queues of the hosts that have a worker now. Throws `database_unreachable`. */
export async function presentHosts(db: Db, owner: string): Promise<string[]> {
  return [...new Set((await presentWorkers(db, owner)).map(({ task_queue }) => task_queue))];
}

/** What the workers of an owner are configured with, together. */
export interface PresentConfiguration {
  gateways: ReadonlySet<GatewayName>;
  sandboxProviders: ReadonlySet<SandboxProviderName>;
}

/** Lists what any worker of an owner is configured with; null where no worker is present, so it is not known. Throws `database_unreachable`. */
export async function presentConfiguration(db: Db, owner: string): Promise<PresentConfiguration | null> {
  const workers = await presentWorkers(db, owner);
  if (workers.length === 0) return null;
  return {
    gateways: new Set(workers.flatMap(({ gateways }) => gateways)),
    sandboxProviders: new Set(workers.flatMap(({ sandbox_providers }) => sandbox_providers)),
  };
}

async function presentWorkers(
  db: Db,
  owner: string,
): Promise<{ task_queue: string; gateways: GatewayName[]; sandbox_providers: SandboxProviderName[]; draining_at: Date | null }[]> {
  return asDatabaseError(
    db
      .selectFrom('workers')
      .select(['task_queue', 'gateways', 'sandbox_providers', 'draining_at'])
      .where('owner', '=', owner)
      .where(sql<boolean>`seen_at > now() - ${PRESENCE_TIMEOUT}::interval`)
      .execute(),
  );
}

/** Deletes the rows of workers and abandoned sandboxes after their retention. Throws `database_unreachable`. */
export async function deleteStaleRows(db: Db, owner: string): Promise<void> {
  await asDatabaseError(
    sql`delete from sandboxes where owner = ${owner} and lost_at < now() - ${ABANDONED_SANDBOX_RETENTION}::interval`.execute(db),
  );
  await asDatabaseError(sql`delete from workers where owner = ${owner} and seen_at < now() - ${WORKER_RETENTION}::interval`.execute(db));
}
