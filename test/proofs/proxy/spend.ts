import { check, firstOf, refusedWith, shown, type Case } from './case.ts';
import { lostCharges } from './lost-charges.ts';
import { CLAUDE } from './models.ts';
import { bodyFor, bounds, PATHS } from './requests.ts';
import type { Rig, Row } from './rig.ts';
import { refusedFields } from './spend-fields.ts';

const INT_MAX = 2 ** 31;

/** What was spent without being counted: B2, B3, M1, M2 and minors of the review. */
export const spend: Case[] = [
  ...refusedFields,
  ...lostCharges,
  {
    name: 'B2: tokens beyond 2^31 are counted, and the budget still ends with 402',
    run: async (rig) => {
      const key = await rig.mint({ budgetUsd: 1 });
      const set = 'update keys set input_tokens = $2, output_tokens = $2, spent_usd = 0.9999 where ref = $1';
      await rig.database.pool.query(set, [key.ref, INT_MAX - 500]);
      const body = bodyFor('/v1/messages', 'usage.2000.1000', bounds('/v1/messages', 4_000, 2_000));
      const first = await rig.ask({ path: '/v1/messages', key: key.secret, body });
      const [row] = await rig.rows(key, 3_000);
      const { rows } = await rig.database.pool.query<{ tokens: string }>('select input_tokens::text as tokens from keys where ref = $1', [
        key.ref,
      ]);
      return firstOf(
        () => check(first.status === 200, shown(first)),
        () => check(row?.is_open === false && row.usd > 0, `its row: ${JSON.stringify(row)}`),
        () => check(Number(rows[0]?.tokens) > INT_MAX, `tokens of the key: ${rows[0]?.tokens}`),
        async () => refusedWith(await rig.ask({ path: '/v1/messages', key: key.secret, body }), 402, 'budget_exhausted'),
      );
    },
  },
  ...PATHS.map((path) => ({
    name: `B2: an answer of ${path} that states more than 2^31 tokens is charged its reservation and flagged`,
    run: async (rig: Rig) =>
      charged(
        rig,
        path,
        `usage.${INT_MAX + 1_000}.${INT_MAX + 1_000}`,
        {},
        ({ usd, reserved_usd, implausible, estimated }) => implausible && estimated && usd > 0 && usd === reserved_usd,
      ),
  })),
  {
    name: 'M1: an advisor’s tokens in usage.iterations are charged',
    run: async (rig) => charged(rig, '/v1/messages', 'iterations', bounds('/v1/messages', 20_000, 4_000), ({ usd }) => usd >= 0.0225),
  },
  ...(['/v1/responses', '/v1/chat/completions'] as const).map((path) => ({
    name: `M2: an answer of ${path} that states the service tier priority is charged twice`,
    run: async (rig: Rig) => {
      const more = bounds(path, 4_000, 1_000);
      const plain = await chargeOf(rig, path, 'usage.1000.50', more);
      return charged(rig, path, 'priority.1000.50', more, ({ usd }) => usd >= 1.9 * (plain?.usd ?? Infinity));
    },
  })),
  {
    name: 'B3: of several bounds on the output the largest one is reserved',
    run: async (rig) =>
      charged(
        rig,
        '/v1/chat/completions',
        'plain',
        { max_tokens: 1, max_completion_tokens: 2_000 },
        ({ reserved_usd }) => reserved_usd >= 0.02,
      ),
  },
  {
    name: 'gpt-5-pro without a bound reserves its 272,000 tokens of output',
    run: async (rig) =>
      charged(
        rig,
        '/v1/responses',
        'plain',
        { model: 'gpt-5-pro', max_output_tokens: null },
        ({ reserved_usd }) => reserved_usd >= 272_000 * 120e-6,
      ),
  },
  {
    name: 'B3: 50 requests in parallel overshoot a budget of $0.05 by one request at most',
    isSlow: true,
    run: async (rig) => {
      const key = await rig.mint({ budgetUsd: 0.05, models: [CLAUDE] });
      const body = bodyFor('/v1/messages', 'usage.100.2000', { max_tokens: 2_000 });
      await Promise.all(Array.from({ length: 50 }, async () => rig.ask({ path: '/v1/messages', key: key.secret, body })));
      const usd = (await rig.rows(key)).reduce((sum, row) => sum + row.usd, 0);
      return check(usd > 0.02 && usd <= 0.05 + 0.031, `spent $${usd}`);
    },
  },
  {
    name: 'a JSON answer of 40 MB comes whole and is charged no more than its reservation',
    isSlow: true,
    run: async (rig) => charged(rig, '/v1/responses', 'large', {}, ({ usd, reserved_usd }) => usd > 0 && usd <= reserved_usd && usd < 1),
  },
  {
    name: 'an event over 16 MB does not hide the usage behind it',
    isSlow: true,
    run: async (rig) =>
      charged(rig, '/v1/responses', 'large-event', { stream: true, ...bounds('/v1/responses', 2_000, 2_000) }, ({ usd }) => usd >= 0.006),
  },
  {
    name: 'a compressed answer is charged by its usage or by its reservation',
    run: async (rig) => charged(rig, '/v1/responses', 'gzip', bounds('/v1/responses', 2_000, 2_000), ({ usd }) => usd >= 0.006, [200, 502]),
  },
  ...PATHS.map((path) => ({
    name: `a stream of ${path} whose last event has no blank line behind it is a success`,
    run: async (rig: Rig) => charged(rig, path, 'unended', { stream: true }, ({ code, usd }) => code === null && usd > 0),
  })),
];

/** Whether one request's record is as it should be. */
async function charged(
  rig: Rig,
  path: string,
  way: string,
  more: object,
  holds: (row: Row) => boolean,
  statuses: readonly number[] = [200],
): Promise<string | null> {
  const key = await rig.mint();
  const answer = await rig.ask({ path, key: key.secret, body: bodyFor(path, way, more) });
  if (!statuses.includes(answer.status)) return shown(answer);
  const [row] = await rig.rows(key, 5_000);
  return check(row !== undefined && !row.is_open && holds(row), `on record: ${JSON.stringify(row ?? null)}`);
}

async function chargeOf(rig: Rig, path: string, way: string, more: object): Promise<Row | undefined> {
  const key = await rig.mint();
  await rig.ask({ path, key: key.secret, body: bodyFor(path, way, more) });
  return (await rig.rows(key, 5_000)).at(0);
}
