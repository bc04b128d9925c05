// The first requests of a tenant, or at an upstream, that come together find no rate bucket yet: each makes it, and none is refused for it.
import { afterAll, beforeAll, expect, test } from 'vitest';

import { reserveRequest } from '../../../src/store/requests.ts';
import { CLAUDE, GPT, jobOf, startRig, type Rig, type TestKey } from '../rig.ts';

const REQUESTS = 12;
const RATES = { tenantRequestMs: 1_000, upstreamRequestMs: 500, tenantTokenMs: null, upstreamTokenMs: null };

let rig: Rig;
beforeAll(async () => {
  rig = await startRig('http://127.0.0.1:1');
});
afterAll(() => rig.close());

test.each(['one', 'two', 'three', 'four', 'five'])('of a tenant %s at a new upstream are all admitted, and all counted', async (tenant) => {
  const { pool, db } = rig.database;
  const keys = await Promise.all(Array.from({ length: REQUESTS }, () => rig.mint({ models: [CLAUDE, GPT] })));
  const reserve = async (key: TestKey) =>
    reserveRequest(
      pool,
      { ref: key.ref, jobId: jobOf(key), tenant },
      { protocol: 'openai-chat', upstream: `upstream of ${tenant}`, proxy: 'tests', usd: 0.01, rates: RATES },
      null,
    );
  // Connections that are open already ask at the same moment.
  await Promise.all(keys.map(() => pool.query('select pg_sleep(0.05)')));
  const answers = await Promise.all(keys.map(reserve));
  expect(answers.map(({ action }) => action)).toEqual(keys.map(() => 'run'));
  const bucket = await db
    .selectFrom('rate_buckets')
    .select('full_at')
    .where('scope', '=', `tenant ${tenant} upstream of ${tenant}`)
    .execute();
  expect((bucket[0]?.full_at.getTime() ?? 0) - Date.now()).toBeGreaterThan((REQUESTS - 1) * RATES.tenantRequestMs);
});
