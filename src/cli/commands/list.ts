import type { Command } from '@commander-js/extra-typings';

import type { JobSummary } from '../../client/job-state.ts';
import { formatUsd } from '../../contract/money.ts';
import { limit, MAX_LIMIT } from '../limit.ts';
import { printJson, printLines } from '../output/print.ts';
import { table } from '../output/table.ts';
import { elapsed, sanitize } from '../output/text.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Examples:
  $ valetkey list --running
  $ valetkey list --tenant acme --limit 1000 --json | jq 'map(.spentUsd) | add'
`;

export function addList(program: Command): void {
  program
    .command('list')
    .description('List the newest jobs')
    .option('--tenant <id>', 'only of this tenant')
    .option('--running', 'only running jobs')
    .option('--limit <number>', `at most so many, up to ${MAX_LIMIT}`, limit, 100)
    .option('--json', 'print one JSON document: an array of jobs')
    .addHelpText('after', EXAMPLES)
    .action(async ({ tenant, running, limit: max, json }) => {
      await withClient(async (client) => {
        const jobs = await client.jobs.list({ ...(tenant === undefined ? {} : { tenant }), running: running === true, limit: max });
        if (json === true) printJson(jobs);
        else printLines(jobs.length === 0 ? ['no jobs'] : [jobTable(jobs)]);
      });
    });
}

function jobTable(jobs: readonly JobSummary[]): string {
  const now = new Date().toISOString();
  const rows = jobs.map(({ jobId, tenant, agent, state, problems, failureCode, keyState, spentUsd, startedAt, endedAt }) => {
    const started = startedAt.replace(/\.\d+Z$/, 'Z');
    const took = elapsed(startedAt, endedAt ?? now);
    return [
      sanitize(jobId),
      sanitize(tenant),
      agent,
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
