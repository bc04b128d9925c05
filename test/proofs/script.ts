import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import type { AgentName } from '../../src/contract/spec.ts';
import { withScript, type Step } from '../../src/dev/scripted-model/script.ts';

const MODELS = { codex: 'gpt-5.1-codex', claude: 'claude-sonnet-4-6', mock: 'gpt-5.1-codex' } as const;
export type ProvenAgent = keyof typeof MODELS & AgentName;
export const PROVEN_AGENTS: ProvenAgent[] = ['mock', 'codex', 'claude'];

/** All different, so that one that is lost or doubled shows. */
const words = (from: number, count: number): string => Array.from({ length: count }, (_, index) => `w${from + index}`).join(' ');

/** ms between two words. */
const EVERY_MS = 100;
/** Words of the pieces of text: before and after the command of the first turn, and in the second. */
const PIECES = { before: words(1000, 14), after: words(2000, 10), second: words(3000, 16) };

/** What the agent says in each turn, and how often it asks the model for it. */
export const EXPECTED = {
  messages: [`${PIECES.before}\n\n${PIECES.after}`, PIECES.second],
  prompts: 3,
  /** The command ran once. */
  patch: ['+ran'],
};

/** A job of two turns of some seconds; in the first the agent runs a command that leaves a line each time it runs. */
export function provenJob(agent: ProvenAgent): JobSpecInput {
  return {
    tenant: 'prove',
    agent,
    model: MODELS[agent],
    budgetUsd: 5,
    deadline: '9m',
    prompts: [
      withScript('Say something, run a command, go on.', [slow(PIECES.before), { run: 'echo ran >> runs.txt' }, slow(PIECES.after)]),
      withScript('And now the rest.', [slow(PIECES.second)]),
    ],
  };
}

function slow(text: string): Step {
  return { slow: { chunks: text.split(' ').length, everyMs: EVERY_MS, text } };
}
