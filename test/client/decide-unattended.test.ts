import { expect, test } from 'vitest';

import { decideUnattended } from '../../src/client/decide-unattended.ts';

const worker = (agoMs: number, taskQueue = 'jobs-host-a'): Parameters<typeof decideUnattended>[1][number] => ({
  id: '7@a/id',
  taskQueue,
  seenAtMs: 0,
  agoMs,
});

test.each([
  ['nobody was ever there', [], [], 'nobody-polls'],
  ['a worker reported 6 s ago', [worker(6_000)], [], 'a-worker-reports'],
  ['a worker that reported longer ago is still listed by Temporal', [worker(6_001)], ['7@a/id'], 'nobody-polls'],
  ['a worker reports for another queue', [worker(0, 'jobs2-host-a')], ['7@a/id'], 'nobody-polls'],
  ['a worker that is on no record here polls', [worker(60_000)], ['7@a/id', '8@b/id'], 'an-unknown-worker-polls'],
] as const)('%s: a queue is attended or not', (_case, seen, pollers, reason) => {
  expect(decideUnattended('jobs', seen, pollers).reason).toBe(reason);
});
