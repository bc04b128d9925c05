import { expect, test } from 'vitest';

import { decideRestore, type LossFacts } from '../../src/activities/decide-restore.ts';

const between: LossFacts = { onInterrupted: 'fail', endedTurns: 2, continues: false, losses: 1, promptSent: false, hasCheckpoint: true };

test.each<[string, Partial<LossFacts>, number | null]>([
  ['between two turns', {}, 2],
  ['before the first turn', { endedTurns: 0, hasCheckpoint: false }, 0],
  ['before the first turn of a job that continues another', { endedTurns: 0, continues: true }, 0],
  ['the same, and the copy is gone', { endedTurns: 0, continues: true, hasCheckpoint: false }, null],
  ['and the checkpoint was not stored', { hasCheckpoint: false }, null],
  ['in a turn whose prompt may have run', { promptSent: true }, null],
  ['in such a turn, and it may run again', { promptSent: true, onInterrupted: 'continue' }, 2],
  ['for the third time', { losses: 3 }, 2],
  ['for the fourth time', { losses: 4 }, null],
])('a sandbox that is lost %s', (_when, change, turn) => {
  expect(decideRestore({ ...between, ...change })).toBe(turn);
});
