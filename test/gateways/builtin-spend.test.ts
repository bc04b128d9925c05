import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, expect, it } from 'vitest';

import type { KeyRef } from '../../src/contract/ref.ts';
import { BuiltinGateway } from '../../src/gateways/builtin/builtin.ts';
import { closeRequests } from '../../src/store/requests.ts';
import { startRig, type Rig } from '../proxy/rig.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await startRig('http://127.0.0.1:1');
});
afterEach(() => rig.close());

/** A request that is open at a replica of the proxy whose last beat is old, as all are when Postgres was away. */
async function openAtSilent(): Promise<{ ref: KeyRef; id: string }> {
  const { pool } = rig.database;
  const { ref } = await rig.mint();
  await pool.query("insert into proxies (id, seen_at) values ('silent', now() - interval '1 minute')");
  const { rows } = await pool.query<{ id: string }>(
    `insert into requests (ref, protocol, proxy, reserved_usd, started_at) values ($1, 'openai-chat', 'silent', 2, now() - interval '1 minute')
     returning id`,
    [ref],
  );
  return { ref, id: rows[0]?.id ?? '' };
}

it('a replica that says that it is there right after Postgres was away has its requests charged by what they cost', async () => {
  const { ref, id } = await openAtSilent();
  const spending = new BuiltinGateway({ db: rig.database.db, socketPath: '/none' }).spend({ ref });
  await sleep(2_000);
  await rig.database.pool.query("update proxies set seen_at = now() where id = 'silent'");
  await sleep(3_000);
  const free = { model: null, status: 200, code: null, inputTokens: 1, outputTokens: 1, estimated: false, implausible: false };
  await closeRequests(rig.database.pool, ref, [{ ...free, id, usd: 0.5, stop: null, tries: 1, forwarded: true }]);
  expect(await spending).toMatchObject({ usd: 0.5 });
});

it('a replica that stays silent has its requests charged by their reservations', async () => {
  const { ref } = await openAtSilent();
  const usage = await new BuiltinGateway({ db: rig.database.db, socketPath: '/none' }).spend({ ref });
  expect(usage).toMatchObject({ usd: 2, requests: 1 });
});
