import { InvalidArgumentError, type Command } from '@commander-js/extra-typings';

import { followJob } from '../output/follow-job.ts';
import { liveLines } from '../output/live-lines.ts';
import { printJson } from '../output/print.ts';
import { paintFor } from '../output/text.ts';
import { warnUnattended } from '../warn-unattended.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Examples:
  $ valetkey events job-42
  $ valetkey events job-42 --no-follow --json | jq -r 'select(.type == "message").text'
  $ valetkey events job-42 --after 17
`;

export function addEvents(program: Command): void {
  program
    .command('events')
    .description('Print the events of a job in order, and follow it to its end')
    .argument('<job>', 'its id')
    .option('--after <number>', 'begin after the event with this number', sequenceNumber, 0)
    .option('--no-follow', 'end with the newest event')
    .option('--json', 'print one JSON object per line')
    .addHelpText('after', EXAMPLES)
    .action(async (jobId, { after, follow, json }) => {
      await withClient(async (client) => {
        const lines = liveLines(process.stdout);
        const events = client.jobs.events(jobId, { after, follow });
        const print = async (): Promise<void> => {
          if (json === true) for await (const event of events) printJson(event);
          else await followJob(events, lines, paintFor(process.stdout), after > 0 ? { doing: 'waiting for an event' } : {});
        };
        if (follow) await warnUnattended(client, jobId, print, lines.note);
        else await print();
      });
    });
}

function sequenceNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a number, 0 or more.');
}
