import type { Command } from '@commander-js/extra-typings';

import { printJson, printLines } from '../output/print.ts';
import { warnUnattended } from '../warn-unattended.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
The job continues with the next key; the previous one is ended once the agent has adopted the new one.

Examples:
  $ valetkey rotate job-42
`;

export function addRotate(program: Command): void {
  program
    .command('rotate')
    .description('Rotate the key of a running job')
    .argument('<job>', 'its id')
    .option('--json', 'print one JSON document: the new key')
    .addHelpText('after', EXAMPLES)
    .action(async (jobId, { json }) => {
      await withClient(async (client) => {
        const rotated = await warnUnattended(client, jobId, async () => client.keys.rotate(jobId));
        if (json === true) printJson({ jobId, ...rotated });
        else printLines([`generation ${rotated.generation} of the key of ${jobId}`]);
      });
    });
}
