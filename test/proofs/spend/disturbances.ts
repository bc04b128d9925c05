import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { call } from '../proxy/call.ts';
import type { Gateway } from '../proxy/gateway.ts';
import type { Rig } from '../proxy/rig.ts';
import type { Disturbance } from './ways.ts';

const READ_ONLY_MS = 3_000;
const IN_FLIGHT_MS = 100;

/** What a disturbance acts on. */
export interface Disturbed {
  rig: Rig;
  /** Of the row; a new one takes the place of one that was killed. */
  replicas: Gateway[];
  startReplica: () => Promise<Gateway>;
  /** Index of the replica with a request that the provider has started. */
  at: number;
  /** A request of the job. */
  probe: { path: string; key: string; body: object };
}

/** Each resolves to what did not hold. */
export const DISTURBANCES: Record<Disturbance, (disturbed: Disturbed) => Promise<string[]>> = {
  'kill-proxy': async ({ replicas, startReplica, at }) => {
    await sleep(IN_FLIGHT_MS);
    await replicas[at]?.kill();
    replicas[at] = await startReplica();
    return [];
  },
  'postgres-read-only': async ({ rig, replicas, probe }) => {
    await sleep(IN_FLIGHT_MS);
    await setReadOnly(rig, true);
    const until = sleep(READ_ONLY_MS);
    const statuses = await Promise.all(
      replicas.map(async (replica) => {
        const answer = await call(replica, probe).catch(() => null);
        return answer?.status ?? 'a broken connection';
      }),
    );
    await until;
    await setReadOnly(rig, false);
    return statuses.filter((status) => status !== 503).map((status) => `a request while Postgres was read-only got ${status}, not 503`);
  },
};

/** Changes it for new connections, and ends those that are open. */
async function setReadOnly({ databaseUrl }: Rig, isOn: boolean): Promise<void> {
  const admin = new pg.Client({ connectionString: databaseUrl, options: '-c default_transaction_read_only=off' });
  admin.on('error', () => {});
  await admin.connect();
  const database = new URL(databaseUrl).pathname.slice(1);
  await admin.query(`alter database ${pg.escapeIdentifier(database)} set default_transaction_read_only = ${isOn ? 'on' : 'off'}`);
  await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()', [database]);
  await admin.end();
}
