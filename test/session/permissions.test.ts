/** What the agent asks leave for is decided once, over any number of attempts, and each question and answer is told once. */
import { afterEach, beforeEach, expect, test } from 'vitest';

import type { PermissionDecision, Question } from '../../src/contract/status.ts';
import { Secret } from '../../src/secrets/secret.ts';
import type { SessionState } from '../../src/session/turn/state.ts';
import type { AskingTurn, EndedTurn } from '../../src/session/turn/turn.ts';
import { EventStore, startTurn, turnOn } from './collect.ts';
import { startServer, type Server } from './server.ts';

const yes: PermissionDecision = { answer: 'allow', by: 'user' };
const deny: PermissionDecision = { answer: 'deny', by: 'policy' };

let server: Server;
let store: EventStore;
beforeEach(async () => {
  server = await startServer();
  store = new EventStore();
});
afterEach(() => server.stop());

test('each question and each decision is an event', async () => {
  await turnOn(server, store, { prompt: 'ask' });
  const id = expect.stringMatching(/^\d+-q1$/) as unknown;
  expect(store.events).toEqual([
    { type: 'permission.asked', turn: 1, id, title: 'Remove a file', kind: 'delete', toolCall: 'tool', details: null },
    { type: 'permission.answered', turn: 1, id, answer: 'allow', by: 'policy' },
    { type: 'message', turn: 1, text: 'answer: yes' },
  ]);
});

test.each([
  ['allow', '', 'yes'],
  ['allow', 'allow_always reject_once', 'always'],
  ['allow', 'reject_once', 'none'],
  ['deny', '', 'no'],
  ['deny', 'reject_always allow_once', 'never'],
  ['deny', 'allow_once', 'none'],
] as const)('%s, of the options "%s", is the option "%s"', async (answer, kinds, option) => {
  const turn = await turnOn(server, store, { prompt: `ask ${kinds}`.trim(), decide: () => ({ answer, by: 'policy' }) });
  expect(turn.message).toBe(`answer: ${option}`);
});

test.each<[string, object, string | null]>([
  ['command', { rawInput: { command: 'rm -r build' } }, 'rm -r build'],
  ['command in words', { rawInput: { command: ['rm', '-r', 'build'], cwd: '/work' } }, 'rm -r build'],
  ['diff in the input', { rawInput: { filepath: 'a.txt', diff: '-a\n+b' } }, '-a\n+b'],
  ['change', { content: [{ type: 'diff', path: 'a.txt', oldText: 'a', newText: 'b' }], rawInput: {} }, '--- a.txt\n+++ a.txt\n-a\n+b'],
  ['other input', { rawInput: { url: 'https://example.com' } }, '{\n  "url": "https://example.com"\n}'],
  ['text', { content: [{ type: 'content', content: { type: 'text', text: 'reads a page' } }] }, 'reads a page'],
])('a question about a %s shows it, in the event alone', async (_, toolCall, details) => {
  await server.put('tool-call.json', JSON.stringify(toolCall));
  const { question, state } = await asks('ask', null, {});
  expect(store.events).toMatchObject([{ type: 'permission.asked', toolCall: 'tool', details }]);
  expect(question).not.toHaveProperty('details');
  expect(state.pending).not.toHaveProperty('subject');
  expect(JSON.stringify(state).length).toBeLessThan(1024);
});

test('what a question is about is cut at 8 KiB and masked', async () => {
  const secret = new Secret('a-secret-of-the-job-0123456789');
  await server.put('tool-call.json', JSON.stringify({ rawInput: { command: `${secret.reveal()} ${'x'.repeat(100_000)}` } }));
  await startTurn(server, store, { prompt: 'ask', decide: () => 'ask', secrets: [secret] });
  const [asked] = store.events;
  const details = asked?.type === 'permission.asked' ? (asked.details ?? '') : '';
  expect(details.length).toBeLessThan(8 * 1024 + 100);
  expect(details).toMatch(/^\[secret\] x+\n\[… \d+ characters cut …\]\nx+$/);
});

test('a question that is asked leaves the agent waiting, and the answer goes to it once, whoever brings it', async () => {
  const prompt = 'say before\nask\nsay after\nask';
  const first = await asks(prompt, null, {});
  expect(first.question).toMatchObject({ turn: 1, title: 'Remove a file', kind: 'delete' });
  expect(JSON.stringify(first.state).length).toBeLessThan(1024);
  // Without an answer it is the same question, also for a worker that knows nothing.
  expect(await asks(prompt, first.state, {})).toMatchObject({ question: first.question });
  expect(await asks(prompt, null, {})).toMatchObject({ question: first.question });

  const second = await asks(prompt, first.state, { [first.question.id]: yes });
  expect(second.question.id).not.toBe(first.question.id);
  const answers = { [first.question.id]: yes, [second.question.id]: deny };
  const turns = [second.state, null, second.state].map((resume) => startTurn(server, store, { prompt, resume, decide: knows(answers) }));
  for (const turn of await Promise.all(turns)) expect(turn).toMatchObject({ stopReason: 'end_turn' });
  expect(store.text).toBe('beforeanswer: yesafteranswer: no');
  expect(store.events.map(({ type }) => type).filter((type) => type !== 'message')).toEqual([
    'permission.asked',
    'permission.answered',
    'permission.asked',
    'permission.answered',
  ]);
  expect(await server.prompts()).toEqual([prompt]);
});

test('a question that the server has forgotten meanwhile can be answered', async () => {
  const prompt = 'background-flood go 1500\nask';
  const { question, state } = await asks(prompt, null, {});
  await server.put('go');
  await server.heard('step 1500"');
  const turn = await startTurn(server, store, { prompt, resume: state, decide: knows({ [question.id]: yes }) });
  expect(turn).toMatchObject({ stopReason: 'end_turn', message: 'answer: yes' });
  const others = store.events.map(({ type }) => type).filter((type) => type !== 'plan');
  expect(others).toEqual(['permission.asked', 'permission.answered', 'message']);
  expect(store.events).toHaveLength(1500 + 3);
});

test('a turn that waits for an answer can be cancelled, which allows nothing, and the next one goes on', async () => {
  const prompt = 'say before\nask\nhang';
  const { state } = await asks(prompt, null, {});
  let cancelled: EndedTurn | undefined;
  const turn = startTurn(server, store, {
    prompt,
    resume: state,
    decide: () => yes,
    cancel: AbortSignal.abort(new Error('interrupted')),
    onCancelled: (ended) => void (cancelled = ended),
  });
  await expect(turn).rejects.toThrow('interrupted');
  expect(cancelled).toMatchObject({ stopReason: 'cancelled', state: { running: null, pending: null } });
  const next = await turnOn(server, store, { prompt: 'recall', turn: 2, resume: cancelled?.state ?? null });
  expect(next.message).toBe('say before');
  // An open question gets no leave by a cancel.
  expect(store.text).toContain('answer: none');
  expect(store.text).not.toContain('answer: yes');
});

test('the agent dies while it waits: the next attempt goes by the policy for interrupted turns', async () => {
  const { question, state } = await asks('ask', null, {});
  await server.killAgent();
  const turn = startTurn(server, store, { prompt: 'ask', resume: state, decide: knows({ [question.id]: yes }) });
  await expect(turn).rejects.toMatchObject({ code: 'turn_interrupted' });
});

function knows(answers: Record<string, PermissionDecision>): (question: Question) => PermissionDecision | 'ask' {
  return ({ id }) => answers[id] ?? 'ask';
}

async function asks(prompt: string, resume: SessionState | null, answers: Record<string, PermissionDecision>): Promise<AskingTurn> {
  const turn = await startTurn(server, store, { prompt, resume, decide: knows(answers) });
  if (turn.kind !== 'asks') throw new Error('The turn has ended.');
  return turn;
}
