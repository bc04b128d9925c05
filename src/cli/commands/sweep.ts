import type { Command } from '@commander-js/extra-typings';

import type { Finding, FindingKind, SweepReport } from '../../contract/sweep.ts';
import { FAILED_EXIT_CODE } from '../exit-code.ts';
import { printJson, printProse } from '../output/print.ts';
import { sanitize, paintFor } from '../output/text.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
The workers sweep by themselves (valetkey schedules list); this is one more sweep, now. What an inventory finds without a job it ends at
the second sight only: until then it waits. Exit code 3 tells that something could not be ended or looked at; the next sweep does.

Examples:
  $ valetkey sweep --dry-run
  $ valetkey sweep --json | jq .counts
`;

export function addSweep(program: Command): void {
  program
    .command('sweep')
    .description('Find orphaned keys and sandboxes, and end them')
    .option('--dry-run', 'only report what it would end')
    .option('--json', 'print one JSON document: the report')
    .addHelpText('after', EXAMPLES)
    .action(async ({ dryRun, json }) => {
      await withClient(async (client) => {
        const report = await client.sweep({ dryRun: dryRun === true });
        if (json === true) printJson(report);
        else printProse(reportLines(report));
        if (total(report, 'failed') > 0 || report.errors.length > 0) process.exitCode = FAILED_EXIT_CODE;
      });
    });
}

const ACTIONS: Record<Finding['action'], string> = { ended: 'ended', would_end: 'would end', waits: 'waits', failed: 'failed' };
const KINDS: Record<FindingKind, string> = {
  closed_job: 'key of a job that closed',
  ledger_key: 'key in the ledger',
  gateway_key: 'key at the gateway',
  sandbox: 'sandbox',
};

function reportLines(report: SweepReport): string[] {
  const { scanned, findings, errors } = report;
  const paint = paintFor(process.stdout);
  const counts = Object.entries(ACTIONS).map(([action, text]) => [total(report, action), text] as const);
  const found = counts.reduce((sum, [count]) => sum + count, 0);
  const sums = counts.filter(([count]) => count > 0).map(([count, text]) => `${count} ${text}`);
  return [
    ...findings.map(({ kind, id, action, reason, code }) =>
      [
        paint('cyan', nameIn(ACTIONS, action).padEnd(9)),
        nameIn(KINDS, kind).padEnd(24),
        sanitize(id),
        ` (${code ?? reason.replaceAll('_', ' ')})`,
      ].join(' '),
    ),
    ...(found > findings.length ? [`… and ${found - findings.length} more`] : []),
    ...errors.map((code) => `${paint('red', 'not looked at')} ${code}`),
    `scanned ${scanned}: ${sums.length === 0 ? 'nothing to end' : sums.join(', ')}`,
  ];
}

/** A newer worker may report what this build has no name for. */
function nameIn(names: Readonly<Record<string, string>>, word: string): string {
  return names[word] ?? sanitize(word);
}

function total({ counts }: SweepReport, action: string): number {
  return Object.entries(counts).reduce((sum, [name, count]) => (name.endsWith(`.${action}`) ? sum + count : sum), 0);
}
