import type { Command } from '@commander-js/extra-typings';

import type { JobStatus } from '../../contract/job-summary.ts';
import { formatUsd } from '../../contract/money.ts';
import { fieldFor } from '../output/fields.ts';
import { printJson, printLines } from '../output/print.ts';
import { questionText } from '../output/question-text.ts';
import { keyLifeLine, pushText } from '../output/result-lines.ts';
import { elapsed, sanitize } from '../output/text.ts';
import { unattendedText } from '../warn-unattended.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Examples:
  $ valetkey status job-42
  $ valetkey status job-42 --json | jq -r .keyState
`;

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('Show a job’s status')
    .argument('<job>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async (jobId, { json }) => {
      await withClient(async (client) => {
        const status = await client.jobs.status(jobId);
        if (json === true) printJson(status);
        else printLines(statusLines(status));
      });
    });
}

/** The phase, where it says more than the state. */
function stateText(state: JobStatus['state'], phase: JobStatus['phase']): string {
  if (phase === null) return `${state}, no worker answers`;
  return phase === 'ended' || phase === state ? state : `${state}, ${phase}`;
}

function statusLines(status: JobStatus): string[] {
  const {
    jobId,
    tenant,
    agent,
    state,
    phase,
    unattendedQueue,
    problems,
    turn,
    turns,
    question,
    deadline,
    sandbox,
    failure,
    push,
    keyState,
    keys,
    spentUsd,
    startedAt,
    endedAt,
  } = status;
  const now = new Date().toISOString();
  const field = fieldFor(process.stdout);
  return [
    ...field('job', jobId),
    ...field('tenant', tenant),
    ...field('agent', agent),
    ...field('state', stateText(state, phase)),
    ...field('worker', unattendedQueue === null ? null : unattendedText(unattendedQueue)),
    ...field('stuck', problems.length === 0 ? null : `its workflow task fails again and again (${sanitize(problems.join(', '))})`),
    ...field('failure', failure === null ? null : `${failure.code}: ${sanitize(failure.message)}`),
    ...field('pushed', push === null ? null : pushText(push)),
    ...field('turn', turn === null ? null : `${turn}${turns === null ? '' : ` of ${turns}`}`),
    ...(question === null ? [] : questionText(question)).flatMap((line, index) => field(index === 0 ? 'asks' : '', line)),
    ...field('answer', question === null ? null : `valetkey answer ${jobId} ${question.id} allow|deny`),
    ...field('spent', formatUsd(spentUsd)),
    ...field('key', keyState ?? 'none'),
    ...keys.flatMap((key) => field('', keyLifeLine(key, startedAt))),
    ...field('sandbox', failure?.code === 'sandbox_lost' ? 'lost' : sandbox),
    ...field('started', `${startedAt}, ${elapsed(startedAt, now)} ago`),
    ...field('ended', endedAt === null ? null : `${endedAt}, after ${elapsed(startedAt, endedAt)}`),
    ...field('deadline', endedAt === null ? deadline : null),
  ];
}
