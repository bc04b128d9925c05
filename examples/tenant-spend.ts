/**
 * Prints what a tenant has spent, one line per job as CSV: `node tenant-spend.ts acme > spend.csv`. Needs only Postgres.
 * A job can have several keys, since each rotation mints the next one: their spend adds up.
 */
import { createClient } from 'valetkey';

const [tenant] = process.argv.slice(2);
if (tenant === undefined) throw new Error('Name a tenant: node tenant-spend.ts acme');

const { DATABASE_URL = '', VALETKEY_TASK_QUEUE = 'valetkey' } = process.env;
const valetkey = await createClient({ databaseUrl: DATABASE_URL, taskQueue: VALETKEY_TASK_QUEUE });
const { items: keys } = await valetkey.keys.list({ tenant, limit: 10_000 });
console.log('job,keys,first,usd,estimated,settled');
for (const [jobId, own] of Map.groupBy(keys, (key) => key.jobId)) {
  const sum = (field: 'spentUsd' | 'estimatedUsd') => own.reduce((total, key) => total + key[field], 0).toFixed(6);
  const isSettled = own.every(({ endedAt }) => endedAt !== null);
  console.log([jobId, own.length, own.at(-1)?.createdAt, sum('spentUsd'), sum('estimatedUsd'), isSettled].join(','));
}
await valetkey.close();
