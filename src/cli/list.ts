import { InvalidArgumentError, type Command } from '@commander-js/extra-typings';
import Table from 'cli-table3';

import type { JobSummary } from '../client/job-state.ts';
import { formatUsd } from '../job/money.ts';
import { elapsed, harmless, paintFor } from '../terminal/text.ts';
import { printJson, printLines } from './print.ts';
import { withClient } from './with-client.ts';

const MAX_JOBS = 10_000;

const EXAMPLES = `
Examples:
  $ valetkey list --running
  $ valetkey list --tenant acme --limit 1000 --json | jq 'map(.spentUsd) | add'
`;

export function addList(program: Command): void {
  program
    .command('list')
    .description('list the newest jobs')
    .option('--tenant <id>', 'only of this tenant')
    .option('--running', 'only jobs that run')
    .option('--limit <number>', `at most so many, up to ${MAX_JOBS}`, limit, 100)
    .option('--json', 'print one JSON document: an array of jobs')
    .addHelpText('after', EXAMPLES)
    .action(async ({ tenant, running, limit: max, json }) => {
      await withClient(async (client) => {
        const jobs = await client.list({ ...(tenant === undefined ? {} : { tenant }), running: running === true, limit: max });
        if (json === true) printJson(jobs);
        else printLines(jobs.length === 0 ? ['no jobs'] : [table(jobs)]);
      });
    });
}

function limit(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= MAX_JOBS) return number;
  throw new InvalidArgumentError(`It is a number from 1 to ${MAX_JOBS}.`);
}

const NO_LINES = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
  ].map((name) => [name, '']),
);

function table(jobs: readonly JobSummary[]): string {
  const paint = paintFor(process.stdout);
  const now = new Date().toISOString();
  const rows = new Table({
    head: ['job', 'tenant', 'agent', 'state', 'key', 'spent', 'started', 'took'].map((title) => paint('cyan', title)),
    chars: { ...NO_LINES, middle: '  ' },
    // Colours are ours: the table's own ignore NO_COLOR.
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: ['left', 'left', 'left', 'left', 'left', 'right', 'left', 'right'],
  });
  for (const { jobId, tenant, agent, state, keyState, spentUsd, startedAt, endedAt } of jobs) {
    const started = startedAt.replace(/\.\d+Z$/, 'Z');
    rows.push([
      harmless(jobId),
      harmless(tenant),
      agent,
      state,
      keyState,
      formatUsd(spentUsd),
      started,
      elapsed(startedAt, endedAt ?? now),
    ]);
  }
  return rows.toString();
}
