import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { begin, headOf } from './call.ts';
import { check, firstOf, refusedWith, shown, type Case } from './case.ts';
import { bodyFor, bounds } from './requests.ts';
import type { Key, Rig } from './rig.ts';

const PATH = '/v1/responses';
/** A proxy that is gone is noticed by its heartbeat. */
const NOTICED_MS = 25_000;

/** Charges that something other than a lost connection kept from the record: M4 and M5 of the review. */
export const lostCharges: Case[] = [
  {
    name: 'M4: Postgres that is read-only refuses new requests with 503 and loses no charge',
    isSlow: true,
    run: async (rig) => {
      const key = await rig.mint();
      const during = slowAnswer(rig, key);
      await sleep(500);
      await setParameter(rig, 'default_transaction_read_only', 'on');
      const refused = await rig.ask({ path: PATH, key: key.secret, body: bodyFor(PATH) });
      const answered = await during;
      await setParameter(rig, 'default_transaction_read_only', 'off');
      return firstOf(
        () => refusedWith(refused, 503, 'database_unreachable'),
        () => check(answered.status === 200, shown(answered)),
        () => charged(rig, key),
      );
    },
  },
  {
    name: 'M4: a statement that times out while it records a charge loses none',
    isSlow: true,
    run: async (rig) => {
      const key = await rig.mint();
      const during = slowAnswer(rig, key);
      await sleep(500);
      const holder = new pg.Client({ connectionString: rig.databaseUrl });
      holder.on('error', () => {});
      await setParameter(rig, 'statement_timeout', '300');
      await holder.connect();
      // Whoever records the charge waits for this lock, until its time is over.
      await holder.query('set statement_timeout = 0; begin');
      await holder.query('select from keys where ref = $1 for update', [key.ref]);
      const answered = await during;
      await sleep(2_000);
      await holder.query('commit');
      await holder.end();
      await setParameter(rig, 'statement_timeout', '0');
      return firstOf(
        () => check(answered.status === 200, shown(answered)),
        () => charged(rig, key),
      );
    },
  },
  {
    name: 'M5: what a killed gateway had in flight is charged by its reservation within 25 s',
    isSlow: true,
    run: async (rig) => {
      const key = await rig.mint();
      const gateway = await rig.startOwn();
      const req = begin(gateway, { path: PATH, key: key.secret, body: bodyFor(PATH, 'endless', { stream: true }) });
      await headOf(req);
      await gateway.kill();
      const [row] = await rig.rows(key, NOTICED_MS);
      const isCharged = row !== undefined && !row.is_open && row.estimated && row.usd > 0 && row.usd === row.reserved_usd;
      return check(isCharged, `on record: ${JSON.stringify(row ?? null)}`);
    },
  },
];

function slowAnswer(rig: Rig, key: Key): ReturnType<Rig['ask']> {
  const body = bodyFor(PATH, 'late-usage.2000', { ...bounds(PATH, 2_000, 2_000), stream: true });
  return rig.ask({ path: PATH, key: key.secret, body });
}

/** Whether the slow answer stands on record with what it costs: 1,000 tokens in and 900 out. */
async function charged(rig: Rig, key: Key): Promise<string | null> {
  const [row] = await rig.rows(key, 20_000);
  return check(row?.is_open === false && row.usd >= 0.01, `on record: ${JSON.stringify(row ?? null)}`);
}

/** Sets a parameter of the database for new connections, and ends those that are open. */
async function setParameter(rig: Rig, name: string, value: string): Promise<void> {
  const admin = new pg.Client({
    connectionString: rig.databaseUrl,
    options: '-c default_transaction_read_only=off -c statement_timeout=0',
  });
  admin.on('error', () => {});
  await admin.connect();
  const database = new URL(rig.databaseUrl).pathname.slice(1);
  await admin.query(`alter database ${pg.escapeIdentifier(database)} set ${name} = ${value}`);
  await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()', [database]);
  await admin.end();
}
