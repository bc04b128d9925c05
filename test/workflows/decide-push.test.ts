import { expect, test } from 'vitest';

import type { Ending } from '../../src/workflows/sandbox-job/decide-outcome.ts';
import { decidePush, type PushDecision, type PushFacts } from '../../src/workflows/sandbox-job/decide-push.ts';

const COMPLETED: Ending = { outcome: 'completed', failure: null };
const artifact = (name: string) => ({ name, bytes: 1, sha256: '' });
const omitting = (...paths: string[]): PushFacts['workspace'] => ({
  complete: paths.length === 0,
  omitted: paths.map((path) => ({ path, reason: 'too_large', files: 1 })),
  more: 0,
});

const FACTS: PushFacts = {
  push: { branch: 'fix' },
  ending: COMPLETED,
  named: ['report.pdf'],
  artifacts: [artifact('message'), artifact('patch'), artifact('files/report.pdf')],
  workspace: omitting(),
};

test.each<[string, Partial<PushFacts>, string]>([
  ['a completed job with a whole patch', {}, 'push'],
  ['a job without a branch', { push: undefined }, 'no report'],
  ['a job that failed', { ending: { outcome: 'failed', failure: { code: 'budget_exhausted', message: '' } } }, 'budget_exhausted'],
  ['a cancelled job', { ending: { outcome: 'cancelled', failure: { code: 'cancelled', message: '' } } }, 'cancelled'],
  ['a job without changes', { artifacts: [artifact('message')], named: [] }, 'nothing'],
  ['a patch without a folder', { workspace: omitting('node_modules/') }, 'push_incomplete'],
  ['a lost sandbox', { workspace: omitting('.') }, 'push_incomplete'],
  ['more omissions than are listed', { workspace: { ...omitting(), complete: false, more: 1 } }, 'push_incomplete'],
  ['a named file that is missing', { workspace: omitting('files/report.pdf'), artifacts: [artifact('patch')] }, 'push'],
  ['a file of the repository with the path of a named one', { workspace: omitting('files/report.pdf') }, 'push_incomplete'],
  ['a lost sandbox and a named file', { workspace: omitting('.'), artifacts: [artifact('patch')] }, 'push_incomplete'],
])('%s', (_what, change, expected) => {
  expect(namedOf(decidePush({ ...FACTS, ...change }))).toBe(expected);
});

function namedOf(decision: PushDecision): string {
  if (decision.action === 'push') return 'push';
  if (decision.report === null) return 'no report';
  return decision.report.failure?.code ?? 'nothing';
}
