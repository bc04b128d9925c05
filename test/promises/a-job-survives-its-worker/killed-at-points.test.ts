// A job survives its worker: the next worker re-attaches to the running session; no prompt is run twice, no event is lost.
// The short form of `npm run prove -- session`: a worker process dies while each of some jobs stands at a point of its own, and
// each job ends as one that nobody disturbed. The provider says how often it was asked.
import { expect, inject, test } from 'vitest';

import { newDatabase } from '../../helpers/database.ts';
import { Batches } from '../../proofs/batches.ts';
import { startLane } from '../../proofs/lane.ts';
import type { Phase } from '../../proofs/plan.ts';
import { pointsOf } from '../../proofs/points.ts';
import { proofOf } from '../../proofs/report.ts';

/** Before, during and after what a turn consists of, in both turns. */
const POINTS: [Phase, string][] = [
  ['during', 'runTurn#1 > POST initialize#1'],
  ['before', 'runTurn#1 > POST session/prompt#1'],
  ['during', 'runTurn#1 > POST session/prompt#1'],
  ['after', 'runTurn#1 > onEvent#1'],
  ['before', 'runTurn#1 > onState#1'],
  ['later', 'runTurn#1'],
  ['before', 'runTurn#2 > POST session/prompt#1'],
  ['after', 'runTurn#2'],
];

test('a worker that is killed at any point of a turn costs no prompt, no event and no answer', async ({ onTestFinished }) => {
  const lane = await startLane({ ...inject('temporal'), uiUrl: null }, await newDatabase());
  onTestFinished(() => lane.stop());
  const startedMs = Date.now();
  const batches = await Batches.begin(lane, 'mock');
  const points = pointsOf(batches.recorded, false).filter(({ phase, effect }) =>
    POINTS.some(([when, what]) => phase === when && effect === what),
  );
  expect(points).toHaveLength(POINTS.length);
  const proof = await proofOf([lane], await batches.atPoints(points), 1, startedMs);
  expect(proof).toMatchObject({
    cases: POINTS.length,
    promptsSent: proof.promptsExpected,
    duplicateEvents: 0,
    lostEvents: 0,
    wrongAnswers: 0,
    missed: 0,
    leftSandboxes: 0,
    workersKilled: 1,
    complaints: [],
  });
});
