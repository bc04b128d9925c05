import { afterEach, expect, it } from 'vitest';

import { generating, send, startRig, startUpstream, until } from './rig.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

it('a request of a key whose charge could not be recorded is refused, and leaves no row open', async () => {
  const usage = { input_tokens: 1_000, output_tokens: 10 };
  const upstream = await startUpstream((req, res) => {
    req.resume();
    req.on('end', () => res.end(JSON.stringify({ model: 'claude-sonnet-4-6', usage })));
  });
  closing.push(upstream.close);
  const rig = await startRig(upstream.url);
  closing.push(rig.close);
  const { pool } = rig.database;
  const key = await rig.mint();
  const body = generating('hello')['/v1/messages'];
  expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(200);
  expect(await rig.ended(key)).toHaveLength(1);
  // From here on no charge is taken, and no suspension either: only this replica knows of it.
  await pool.query(`
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
    create trigger no_charge before update on requests for each row when (new.usd > 0) execute function refuse();
    create trigger no_suspension before update on keys for each row when (new.suspended_at is not null) execute function refuse()`);
  const open = async (): Promise<number> => {
    const { rows } = await pool.query<{ open: number }>('select count(*)::int as open from requests where ended_at is null');
    return rows[0]?.open ?? 0;
  };
  expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(200);
  await until(async () => (await send(rig, key.secret, '/v1/messages', body)).status === 401);
  const before = await open();
  for (let more = 0; more < 3; more += 1) expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(401);
  expect(await open()).toBe(before);
});
