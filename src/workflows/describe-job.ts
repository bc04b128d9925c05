import type { JobProgress } from '../job/status.ts';

/** The job as Markdown, for its page in Temporal's UI. */
export function describeJob(
  progress: JobProgress,
  { budgetUsd, agent, tenant }: { budgetUsd: number; agent: string; tenant: string },
): string {
  const rows: [string, string][] = [
    ['phase', progress.outcome === null ? progress.phase : `${progress.phase} (${progress.outcome})`],
    ['waits for', waitsFor(progress)],
    ['tenant', tenant],
    ['agent', agent],
    ['turn', `${progress.turn} of ${progress.turns}`],
    ['key', `\`${progress.ref}\` ${progress.keyState}`],
    ['sandbox', progress.sandbox === null ? 'none' : `\`${progress.sandbox}\``],
    ['spent', `${progress.spentUsd.toFixed(6)} of ${budgetUsd} USD`],
    ['deadline', progress.deadline],
  ];
  return ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n');
}

function waitsFor({ phase, turn }: JobProgress): string {
  switch (phase) {
    case 'starting':
      return 'the key and the sandbox';
    case 'running':
      return `the agent, turn ${turn}`;
    case 'ending':
      return 'the end of the sandbox and of the key';
    case 'settling':
      return 'the settlement';
    case 'ended':
      return 'nothing';
  }
}
