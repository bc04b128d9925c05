import type { Command } from '@commander-js/extra-typings';

import { printJson, printLines } from '../output/print.ts';
import { resultLines } from '../output/result-lines.ts';
import { columnsOf, paintFor } from '../output/text.ts';
import { warnIfUnattended, warnUnattended } from '../warn-unattended.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Examples:
  $ valetkey cancel job-42 --wait
`;

export function addCancel(program: Command): void {
  program
    .command('cancel')
    .description('Cancel a job; its sandbox and its key are ended first')
    .argument('<job>', 'its id')
    .option('--wait', 'until it has ended, and print how')
    .option('--json', 'print one JSON document: with --wait the result of the job')
    .addHelpText('after', EXAMPLES)
    .action(async (jobId, { wait, json }) => {
      await withClient(async (client) => {
        const isAsked = await client.jobs.cancel(jobId);
        if (wait !== true) {
          if (json === true) printJson({ jobId, ended: !isAsked });
          else printLines([isAsked ? `asked ${jobId} to end` : `${jobId} has ended already`]);
          return isAsked ? warnIfUnattended(client, jobId) : undefined;
        }
        const result = await warnUnattended(client, jobId, async () => client.jobs.result(jobId));
        return json === true ? printJson(result) : printLines(resultLines(result, paintFor(process.stdout), columnsOf(process.stdout)));
      });
    });
}
