import type { CommandUnknownOpts } from '@commander-js/extra-typings';

import { loadConfig } from '../../config/config.ts';
import { INTERRUPTED_EXIT_CODE } from '../exit-code.ts';
import { printJson, printLines } from '../output/print.ts';
import { stopSignal } from '../output/stop-signal.ts';
import { sanitize } from '../output/text.ts';

const EXAMPLES = `
For a host that is to go: its workers take no more jobs, and its jobs continue on other hosts with their next keys: at once where they
wait, and at the end of a turn where one runs. Ends when no job has a sandbox on this host; then stop the worker. SIGINT ends the
wait, and the drain continues. A worker that is started afterwards takes jobs again.

Examples:
  $ DATABASE_URL=postgres://… valetkey worker drain && systemctl stop valetkey-worker
`;

export function addDrain(worker: CommandUnknownOpts): void {
  worker
    .command('drain')
    .description('Move the jobs of this host (VALETKEY_HOST) to other hosts')
    .option('--json', 'print one JSON document at the end')
    .addHelpText('after', EXAMPLES)
    .action(async (_options, command) => {
      // `worker` has the option, too, and takes it.
      const { json } = command.optsWithGlobals();
      const config = loadConfig();
      const { drainHost } = await import('../../worker/drain-host.ts');
      const stop = new AbortController();
      void stopSignal().then(() => stop.abort());
      const show = (jobIds: readonly string[]): void => {
        if (json !== true && jobIds.length > 0) printLines([`${jobIds.length} on this host: ${jobIds.map(sanitize).join(', ')}`]);
      };
      try {
        await drainHost(config, show, stop.signal);
      } catch (error) {
        if (!stop.signal.aborted) throw error;
        process.exitCode = INTERRUPTED_EXIT_CODE;
        return;
      }
      if (json === true) printJson({ drained: true, host: config.host });
      else printLines([`drained: host ${config.host}`]);
    });
}
