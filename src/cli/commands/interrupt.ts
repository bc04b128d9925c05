import type { Command } from '@commander-js/extra-typings';

import { printJson, printLines } from '../output/print.ts';
import { warnUnattended } from '../warn-unattended.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Examples:
  $ valetkey interrupt job-42
`;

export function addInterrupt(program: Command): void {
  program
    .command('interrupt')
    .description('Interrupt the current turn of a job; the job continues')
    .argument('<job>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async (jobId, { json }) => {
      await withClient(async (client) => {
        const { turn } = await warnUnattended(client, jobId, async () => client.jobs.interrupt(jobId));
        if (json === true) printJson({ jobId, turn });
        else printLines([`interrupting turn ${turn} of ${jobId}`]);
      });
    });
}
