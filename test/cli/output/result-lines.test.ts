import { expect, test } from 'vitest';

import { exitCodeOfOutcome } from '../../../src/cli/exit-code.ts';
import { resultLines } from '../../../src/cli/output/result-lines.ts';
import type { FailureCode } from '../../../src/contract/errors.ts';

function told(code: FailureCode, message: string, newer: object = {}): string[] {
  const at = '2026-01-01T00:00:00.000Z';
  const usage = { inputTokens: 1200, outputTokens: 1, requests: 1, usd: 0 };
  const job = { jobId: 'job-1', tenant: 'acme', agent: 'codex', turns: [], keys: [], startedAt: at, endedAt: at } as const;
  const artifacts = [{ name: 'patch', bytes: 0, sha256: '' }];
  return resultLines(
    {
      ...job,
      workspace: { complete: true, omitted: [], more: 0 },
      turns: [],
      keys: [],
      artifacts,
      sandboxLost: false,
      push: null,
      outcome: 'failed',
      failure: { code, message },
      usage,
      ...newer,
    },
    (_format, text) => text,
  );
}

test('a failure is followed by what to do about it', () => {
  expect(told('workspace_failed', '/nowhere is no folder.')).toEqual([
    'outcome  failed after 0.0s',
    'failure  workspace_failed: /nowhere is no folder.',
    '         Check the workspace of the job: the URL, the path, the ref.',
    'turns    0',
    'usage    1,200 tokens in, 1 out, 1 request, $0.00',
    'patch    0 bytes',
  ]);
});

test('what to do is said once', () => {
  expect(told('llm_failed', 'the request failed: The provider failed: submit the job again.').join('\n')).toMatch(/^failure.*\nturns/m);
});

test('an outcome and a code of a newer worker are printed as they are, and are no success', () => {
  const lines = told('internal', '', { outcome: 'parked', failure: { code: 'moon_full', message: 'The moon is full.' } });
  expect(lines.slice(0, 3)).toEqual(['outcome  parked after 0.0s', 'failure  moon_full: The moon is full.', 'turns    0']);
  expect(exitCodeOfOutcome('parked')).toBe(1);
});

test.each([
  [{ branch: 'fix', commit: '1f3c', failure: null }, 'fix at 1f3c'],
  [{ branch: 'fix', commit: null, failure: null }, 'nothing: no file was changed'],
  [{ branch: 'fix', commit: null, failure: { code: 'branch_exists', message: 'It is there.' } }, 'nothing: branch_exists: It is there.'],
])('what became of a push is a line: %o', (push, text) => {
  expect(told('internal', '', { push })).toContain(`pushed   ${text}`);
});
