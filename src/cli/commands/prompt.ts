import { text as readText } from 'node:stream/consumers';

import type { Command } from '@commander-js/extra-typings';

import { printJson, printLines } from '../output/print.ts';
import { warnUnattended } from '../warn-unattended.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Examples:
  $ valetkey prompt job-42 'Now add a test.' --id review-7
  $ valetkey prompt job-42 - < prompt.txt
`;

export function addPrompt(program: Command): void {
  program
    .command('prompt')
    .description('Send another prompt to a running job')
    .argument('<job>', 'its id')
    .argument('<text>', 'the prompt; - reads standard input')
    .option('--id <id>', 'an id of your own: the same id with the same text is the same prompt')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async (jobId, argument, { id, json }) => {
      const text = argument === '-' ? await readText(process.stdin) : argument;
      await withClient(async (client) => {
        const { turn } = await warnUnattended(client, jobId, async () => client.jobs.prompt(jobId, text, { id }));
        if (json === true) printJson({ jobId, turn });
        else printLines([`turn ${turn} of ${jobId}`]);
      });
    });
}
