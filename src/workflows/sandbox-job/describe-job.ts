import type { JobProgress } from '../../contract/status.ts';

/** The job as Markdown, for its page in Temporal's UI. */
export function describeJob(
  progress: JobProgress,
  { budgetUsd, agent, tenant }: { budgetUsd: number; agent: string; tenant: string },
): string {
  const { phase, outcome, turn, turns, ref, keyState, sandbox, spentUsd, deadline } = progress;
  const facts: [string, string][] = [
    ['phase', outcome === null ? phase : `${phase} (${outcome})`],
    ['waits for', waitsFor(progress)],
    ['job', `${agent} for ${tenant}`],
    ['turn', `${turn} of ${turns}`],
    ['key', `\`${ref}\` ${keyState}`],
    ['sandbox', sandbox === null ? 'none' : `\`${sandbox}\``],
    [phase === 'running' ? 'spent before this turn' : 'spent', `${spentUsd.toFixed(6)} of ${budgetUsd} USD`],
    ['deadline', deadline],
  ];
  return facts.map(([name, value]) => `- **${name}:** ${value}`).join('\n');
}

function waitsFor({ phase, turn, question }: JobProgress): string {
  switch (phase) {
    case 'starting':
      return 'the key and the sandbox';
    case 'running':
      return `the agent, turn ${turn}`;
    case 'waiting':
      return question === null
        ? 'a prompt'
        : `an answer, until ${question.until}, to: ${plain(question.title)} (question \`${plain(question.id)}\`)`;
    case 'ending':
      return 'the end of the sandbox and of the key';
    case 'settling':
      return 'the settlement';
    case 'ended':
      return 'nothing';
  }
}

/** An agent's words as text of one line that Markdown does not change. */
function plain(text: string): string {
  return text
    .replaceAll(/[\s\p{C}]+/gu, ' ')
    .replaceAll(/[\\`*_[\]<>|#]/g, '\\$&')
    .slice(0, 200);
}
