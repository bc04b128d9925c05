import { expect, test } from 'vitest';

import { decideFit, type Candidate } from '../../src/workspace/decide-fit.ts';

const known = (path: string, bytes: number): Candidate => ({ path, bytes, isKnown: true });
const fresh = (path: string, bytes: number): Candidate => ({ path, bytes, isKnown: false });

test.each<[string, Candidate[], string[]]>([
  ['all that fits, to the last byte', [fresh('a', 60), fresh('b', 40)], ['a', 'b']],
  ['what is one byte too large stays out, and a later one that fits goes in', [known('a', 101), fresh('b', 100)], ['b']],
  ['what was there before goes first', [fresh('a', 10), known('b', 95)], ['b']],
  ['a removal costs nothing', [known('gone', 0), fresh('a', 100)], ['a', 'gone']],
  ['the work beside a large folder', [fresh('n/a', 1), fresh('n/b', 1), fresh('n/c', 99), fresh('src/x', 50)], ['n/a', 'n/b', 'src/x']],
  ['the work beside a large folder in a new folder', [fresh('app/n/a', 70), fresh('app/n/b', 70), fresh('app/src/x', 50)], ['app/src/x']],
  ['nothing', [], []],
])('in 100 bytes: %s', (_what, candidates, expected) => {
  expect([...decideFit(candidates, 100)].toSorted()).toEqual(expected);
});
