/** A request to a workflow may come from anywhere, Temporal's UI included: what is wrong with it is named before anything happens. */
import { expect, test } from 'vitest';

import {
  answerArgumentsProblem,
  answerProblem,
  emptyProblem,
  sandboxSignalProblem,
  promptProblem,
  revokeTargetProblem,
  rotationProblem,
  sweepProblem,
} from '../../src/contract/check-requests.ts';

const ANSWER = { question: '17-q1', turn: 1, answer: 'allow' };
const PROMPT = { id: 'first', sha256: 'a'.repeat(64), bytes: 3, words: 'one' };

test.each([
  [answerProblem, ANSWER],
  [answerProblem, { ...ANSWER, answer: 'deny' }],
  [answerArgumentsProblem, { question: '17-q1', answer: 'deny' }],
  [promptProblem, PROMPT],
  [promptProblem, { ...PROMPT, id: 'b'.repeat(128), words: '' }],
  [emptyProblem, undefined],
  [emptyProblem, {}],
  [sandboxSignalProblem, { sandbox: 'box' }],
  [sweepProblem, { dryRun: true }],
  [rotationProblem, { olderThanMs: 0.5 }],
  [revokeTargetProblem, { tenant: 'acme' }],
])('%o takes %j', (problem, request) => {
  expect(problem(request)).toBeNull();
});

test.each([
  [answerProblem, undefined, 'must be an object with question, turn, answer'],
  [answerProblem, null, 'must be an object with question, turn, answer'],
  [answerProblem, 'allow', 'must be an object with question, turn, answer'],
  [answerProblem, [ANSWER], 'must be an object with question, turn, answer'],
  [answerProblem, { ...ANSWER, answer: 'yes' }, 'answer: must be "allow" or "deny"'],
  [answerProblem, { ...ANSWER, answer: true }, 'answer: must be "allow" or "deny"'],
  [answerProblem, { turn: 1, answer: 'allow' }, 'question: is required'],
  [answerProblem, { ...ANSWER, question: '' }, 'question: must be the id of a question, 1 to 200 characters'],
  [answerProblem, { ...ANSWER, question: 'q'.repeat(201) }, 'question: must be the id of a question, 1 to 200 characters'],
  [answerProblem, { ...ANSWER, turn: '1' }, 'turn: must be the number of a turn'],
  [answerProblem, { ...ANSWER, turn: 0 }, 'turn: must be the number of a turn'],
  [answerProblem, { ...ANSWER, always: true }, 'always: unknown field'],
  [answerArgumentsProblem, { answer: 'allow' }, 'question: is required'],
  [promptProblem, { ...PROMPT, sha256: 7 }, 'sha256: must be 64 hexadecimal digits'],
  [promptProblem, { sha256: PROMPT.sha256 }, 'id: is required'],
  [promptProblem, { ...PROMPT, id: 'b'.repeat(129) }, 'id: must be text of 1 to 128 characters'],
  [promptProblem, { ...PROMPT, id: 'a\0' }, 'id: must be text of 1 to 128 characters'],
  [promptProblem, { ...PROMPT, bytes: -1 }, 'bytes: must be a whole number'],
  [promptProblem, { ...PROMPT, words: 'w'.repeat(201) }, 'words: must be text of at most 200 characters'],
  [emptyProblem, { turn: 1 }, 'turn: unknown field'],
  [emptyProblem, 1, 'must be left out'],
  [sandboxSignalProblem, undefined, 'must be an object with sandbox'],
  [sandboxSignalProblem, { sandbox: 1 }, 'sandbox: must be the id of a sandbox'],
  [sweepProblem, {}, 'dryRun: is required'],
  [rotationProblem, { olderThanMs: NaN }, 'olderThanMs: must be a number of milliseconds'],
  [revokeTargetProblem, {}, 'must have one of jobId, tenant and ref'],
  [revokeTargetProblem, { tenant: 'acme', jobId: 'job' }, 'must have one of jobId, tenant and ref'],
  [revokeTargetProblem, { tenant: '' }, 'tenant: must be text'],
])('%o refuses %j', (problem, request, message) => {
  expect(problem(request)).toBe(message);
});
