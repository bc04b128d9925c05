import { FAILURES } from '../../contract/errors.ts';
import type { JobFailure } from '../../contract/result.ts';
import type { JobProgress } from '../../contract/status.ts';

const MAX_TITLE_CHARS = 200;
const MAX_MESSAGE_CHARS = 1000;

/** The job as Markdown, for its page in Temporal's UI. */
export function formatJobDetails(
  progress: JobProgress,
  { budgetUsd, agent, tenant }: { budgetUsd: number; agent: string; tenant: string },
): string {
  const { phase, outcome, failure, turn, turns, ref, keyState, sandbox, spentUsd, deadline } = progress;
  const facts: [string, string][] = [
    ['phase', outcome === null ? phase : `${phase} (${outcome})`],
    ...(failure === null ? [] : failureFacts(failure)),
    ['waits for', waitsFor(progress)],
    ['job', `${agent} for ${tenant}`],
    ['turn', `${turn} of ${turns}`],
    ['key', `\`${ref}\` ${keyState}`],
    ['sandbox', sandbox === null ? 'none' : `\`${sandbox}\``],
    [phase === 'running' ? 'spent before this step' : 'spent', `${spentUsd.toFixed(6)} of ${budgetUsd} USD`],
    ['deadline', deadline],
  ];
  return facts.map(([name, value]) => `- **${name}:** ${value}`).join('\n');
}

/** The code, what happened, and what to do where the message does not say it. */
function failureFacts({ code, message }: JobFailure): [string, string][] {
  const { hint } = FAILURES[code];
  const advice: [string, string][] = message.includes(hint) ? [] : [['what to do', hint]];
  return [['failure', `\`${code}\`: ${plain(message, MAX_MESSAGE_CHARS)}`], ...advice];
}

function waitsFor({ phase, turn, question }: JobProgress): string {
  switch (phase) {
    case 'starting':
      return 'the key and the sandbox';
    case 'running':
      return `the agent, turn ${turn}`;
    case 'waiting':
      return promptOrAnswer(question);
    case 'hibernated':
      return `without sandbox and key: ${promptOrAnswer(question)}`;
    case 'ending':
      return 'the end of the sandbox and of the key';
    case 'settling':
      return 'the settlement';
    case 'ended':
      return 'nothing';
  }
}

function promptOrAnswer(question: JobProgress['question']): string {
  if (question === null) return 'a prompt';
  return `an answer, until ${question.until}, to: ${plain(question.title)} (question \`${plain(question.id)}\`)`;
}

/** An agent's words as text of one line that Markdown does not change. */
function plain(text: string, maxChars = MAX_TITLE_CHARS): string {
  return text
    .replaceAll(/[\s\p{C}]+/gu, ' ')
    .replaceAll(/[\\`*_[\]<>|#]/g, '\\$&')
    .slice(0, maxChars);
}
