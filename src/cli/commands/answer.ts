import { Argument, type Command } from '@commander-js/extra-typings';

import { printJson, printLines } from '../output/print.ts';
import { warnUnattended } from '../warn-unattended.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Examples:
  $ valetkey status job-42
  $ valetkey answer job-42 1764000000000:7 allow
`;

export function addAnswer(program: Command): void {
  program
    .command('answer')
    .description('Answer a permission request of a job’s agent')
    .argument('<job>', 'its id')
    .argument('<question>', 'the id of the question: status and events tell it')
    .addArgument(new Argument('<answer>').choices(['allow', 'deny'] as const))
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async (jobId, question, answer, { json }) => {
      await withClient(async (client) => {
        const { turn } = await warnUnattended(client, jobId, async () => client.jobs.answer(jobId, question, answer));
        if (json === true) printJson({ jobId, turn, question, answer });
        else printLines([`answered: ${answer}`]);
      });
    });
}
