import { Argument, type Command } from '@commander-js/extra-typings';

import type { ScheduleStatus } from '../../client/schedules.ts';
import { printJson, printLines } from '../output/print.ts';
import { table } from '../output/table.ts';
import { elapsed } from '../output/text.ts';
import { withClient } from '../with-client.ts';

const APPLY_EXAMPLES = `
Intervals come from the environment, as the workers' (VALETKEY_SWEEP_INTERVAL and others). A schedule that is paused stays so.

Examples:
  $ valetkey schedules apply
`;
const LIST_EXAMPLES = `
Examples:
  $ valetkey schedules list
  $ valetkey schedules list --json | jq '.[] | select(.state != "active")'
`;
const EXAMPLES = `
A worker applies them when it starts, where it may. sweep: ends orphans. rotate-keys: rotates the keys of long jobs.

Examples, each with --json and --help:
  $ valetkey schedules apply
  $ valetkey schedules list
  $ valetkey schedules pause sweep
  $ valetkey schedules resume sweep
`;

export function addSchedules(program: Command): void {
  const schedules = program
    .command('schedules')
    .description('Manage the schedules: apply, list, pause, resume')
    .addHelpText('after', EXAMPLES);

  schedules
    .command('apply')
    .description('Create the schedules, or update them')
    .option('--json', 'print one JSON document: an array of schedules')
    .addHelpText('after', APPLY_EXAMPLES)
    .action(async ({ json }) => {
      await withClient(async (client, { inventoryIntervalMs, rotateAfterMs }) => {
        await client.schedules.apply({ inventoryIntervalMs, rotateAfterMs });
        print(await client.schedules.list(), json === true);
      });
    });

  schedules
    .command('list')
    .description('List the schedules and their state')
    .option('--json', 'print one JSON document: an array of schedules')
    .addHelpText('after', LIST_EXAMPLES)
    .action(async ({ json }) => {
      await withClient(async (client) => print(await client.schedules.list(), json === true));
    });

  for (const verb of ['pause', 'resume'] as const) {
    schedules
      .command(verb)
      .description(verb === 'pause' ? 'Pause a schedule; a current run continues' : 'Resume a paused schedule')
      .addArgument(new Argument('<schedule>').choices(['sweep', 'rotate-keys'] as const))
      .option('--json', 'print one JSON document')
      .addHelpText('after', `\nExamples:\n  $ valetkey schedules ${verb} sweep\n`)
      .action(async (name, { json }) => {
        await withClient(async (client) => {
          await client.schedules[verb](name);
          const state = verb === 'pause' ? 'paused' : 'active';
          if (json === true) printJson({ name, state });
          else printLines([`${name} is ${state}`]);
        });
      });
  }
}

function print(schedules: readonly ScheduleStatus[], json: boolean): void {
  if (json) return printJson(schedules);
  const now = new Date().toISOString();
  const rows = schedules.map(({ name, state, nextRunAt, lastRun }) => {
    const next = nextRunAt === null ? '' : `in ${elapsed(now, nextRunAt)}`;
    const last = lastRun === null ? 'never' : `${elapsed(lastRun.at, now)} ago`;
    return [name, state, next, last, lastRun?.state ?? ''];
  });
  return printLines([table(['schedule', 'state', 'next run', 'last run', 'its state'], rows)]);
}
