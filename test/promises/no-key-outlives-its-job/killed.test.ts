// No key outlives its job: a worker process is killed -9 while each of some jobs stands at a point of its own, before and after what a
// step does with a key and what it puts on record. The short form of what `npm run prove -- keys` does with all points.
import { expect, inject, test } from 'vitest';

import { newDatabase } from '../../helpers/database.ts';
import { audited } from '../../proofs/keys/audit.ts';
import { crash, crashPoints } from '../../proofs/keys/crash.ts';
import { SCENARIOS } from '../../proofs/keys/scenarios.ts';
import { startLane } from '../../proofs/lane.ts';

/** As many as die at once. */
const POINTS = 8;

test('a worker that is killed at any point of a key’s life leaves none', async ({ onTestFinished }) => {
  const lane = await startLane({ ...inject('temporal'), uiUrl: null }, await newDatabase(), { statements: true });
  onTestFinished(() => lane.stop());
  const audit = await audited(lane);
  onTestFinished(() => audit.close());
  const [plain] = SCENARIOS;
  if (plain === undefined) throw new Error('there is no scenario');
  const points = await crashPoints(audit, lane, plain);
  // Spread over the whole life, before and after in turns.
  const step = Math.floor(points.length / POINTS);
  const some = Array.from({ length: POINTS }, (_, index) => points[index * step + (index % 2)]).filter((point) => point !== undefined);
  const reports = await crash(audit, lane, plain, some);
  expect(reports).toHaveLength(POINTS);
  for (const report of reports) expect(report).toMatchObject({ orphans: 0, doubles: 0, sweptLive: 0, complaints: [] });
});
