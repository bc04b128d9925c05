import type { Command } from '@commander-js/extra-typings';

import { loadConfig, type Config } from '../../config/config.ts';
import { secretsOf } from '../../config/secrets.ts';
import { createLogger } from '../../telemetry/log.ts';
import { printJson, printLines } from '../output/print.ts';
import { stopSignal } from '../output/stop-signal.ts';
import { refuseVariables } from '../refuse-variables.ts';
import { addDrain } from './drain.ts';

const EXAMPLES = `
Logs JSON lines on standard error; says on standard output when it is ready. SIGTERM or SIGINT: it takes no more work and
leaves running turns to the next worker.

Examples:
  $ DATABASE_URL=postgres://… VALETKEY_ROOT_KEY=$(cat root.key) valetkey worker
`;

/** A worker derives the keys of jobs and opens their secrets: it is not to have a provider's credential besides. Throws `invalid_config`. */
function refuseUpstreamCredentials({ gateway: { anthropic, openai } }: Config): void {
  refuseVariables(
    { ANTHROPIC_API_KEY: anthropic.credential, OPENAI_API_KEY: openai.credential },
    'is for gateways; unset it for a worker, which must not hold the credential of a provider',
  );
}

export function addWorker(program: Command): void {
  const worker = program.command('worker');
  addDrain(worker);
  worker
    .description('Run a worker, which runs jobs and drives the sandboxes of this host')
    .option('--json', 'report readiness as one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }) => {
      const config = loadConfig();
      refuseUpstreamCredentials(config);
      const { startWorker } = await import('../../worker/start.ts');
      const logger = createLogger({ level: config.logLevel, secrets: secretsOf(config) });
      const stop = stopSignal();
      const running = await startWorker({ config, logger });
      if (json === true) printJson({ ready: true, taskQueue: config.taskQueue, host: config.host });
      else printLines([`ready: task queue ${config.taskQueue}, host ${config.host}`]);
      await Promise.race([stop, running.done]);
      await running.shutdown();
    });
}
