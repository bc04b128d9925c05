import type { Command } from '@commander-js/extra-typings';

import type { JobSummary } from '../../contract/job-summary.ts';
import type { OpenQuestion } from '../../contract/job-summary.ts';
import { formatUsd } from '../../contract/money.ts';
import { addLabel } from '../label.ts';
import { limit, MAX_LIMIT } from '../limit.ts';
import { printJson, printLines } from '../output/print.ts';
import { questionText } from '../output/question-text.ts';
import { table } from '../output/table.ts';
import { elapsed, paintFor, sanitize } from '../output/text.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Examples:
  $ valetkey list --running
  $ valetkey list --waiting
  $ valetkey list --tenant acme --limit 1000 --json | jq 'map(.spentUsd) | add'
`;

export function addList(program: Command): void {
  program
    .command('list')
    .description('List the newest jobs')
    .option('--tenant <id>', 'only of this tenant')
    .option('--running', 'only running jobs')
    .option('--waiting', 'only jobs whose agent waits for an answer, with their questions')
    .option('--label <name=value>', 'only jobs with this label; may be repeated', addLabel)
    .option('--limit <number>', `at most so many, up to ${MAX_LIMIT}`, limit, 100)
    .option('--json', 'print one JSON document: an array of jobs, with --waiting of questions')
    .addHelpText('after', EXAMPLES)
    .action(async ({ tenant, running, waiting, label: labels, limit: max, json }) => {
      await withClient(async (client) => {
        if (waiting === true) return printWaiting(await client.jobs.questions({ tenant, limit: max }), json === true);
        const { items: jobs } = await client.jobs.list({ tenant, running, labels, limit: max });
        if (json === true) printJson(jobs);
        else printLines(jobs.length === 0 ? ['no jobs'] : [jobTable(jobs)]);
      });
    });
}

function printWaiting(questions: readonly OpenQuestion[], json: boolean): void {
  if (json) return printJson(questions);
  printLines(questions.length === 0 ? ['no job waits for an answer'] : questionLines(questions));
}

/** Each with the command that answers it. */
function questionLines(questions: readonly OpenQuestion[]): string[] {
  const now = new Date().toISOString();
  const paint = paintFor(process.stdout);
  return questions.flatMap(({ jobId, tenant, agent, kind, title, id, details, askedAt }) => [
    `${paint('cyan', sanitize(jobId))}  ${sanitize(tenant)}, ${agent}, waits for ${elapsed(askedAt, now)}`,
    ...questionText({ kind, title, details }).map((line) => `  ${line}`),
    `  ${paint('dim', `valetkey answer ${sanitize(jobId)} ${sanitize(id)} allow|deny`)}`,
  ]);
}

function jobTable(jobs: readonly JobSummary[]): string {
  const now = new Date().toISOString();
  const rows = jobs.map(({ jobId, tenant, agent, state, problems, failureCode, keyState, spentUsd, startedAt, endedAt }) => {
    const started = startedAt.replace(/\.\d+Z$/, 'Z');
    const took = elapsed(startedAt, endedAt ?? now);
    return [
      sanitize(jobId),
      sanitize(tenant),
      agent ?? 'unknown',
      problems.length === 0 ? stateText(state, failureCode) : 'stuck',
      keyState ?? '',
      formatUsd(spentUsd),
      started,
      took,
    ];
  });
  return table(['job', 'tenant', 'agent', 'state', 'key', 'spent', 'started', 'took'], rows, ['spent', 'took']);
}

/** A failure is named; other ends are their own name. */
function stateText(state: JobSummary['state'], code: JobSummary['failureCode']): string {
  return state === 'failed' && code !== null ? `${state}, ${code}` : state;
}
