import type { Command } from '@commander-js/extra-typings';

import { loadConfig } from '../../config/config.ts';
import { createLogger } from '../../telemetry/log.ts';
import { printJson, printLines } from '../output/print.ts';
import { stopSignal } from '../output/stop-signal.ts';
import { secretsOf } from './secrets.ts';

const EXAMPLES = `
Logs JSON lines on standard error and reports readiness on standard output. Stops on SIGTERM or SIGINT.

Examples:
  $ DATABASE_URL=postgres://… ANTHROPIC_API_KEY=… valetkey gateway
`;

export function addGateway(program: Command): void {
  program
    .command('gateway')
    .description('Run the built-in gateway, on a port and on the unix socket of the local sandboxes')
    .option('--json', 'report readiness as one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }) => {
      const config = loadConfig();
      const { runGateway } = await import('../../gateway.ts');
      const stop = stopSignal();
      const logger = createLogger({ level: config.logLevel, secrets: secretsOf(config) });
      const gateway = await runGateway(config, logger);
      if (json === true) printJson({ ready: true, url: gateway.url, socketPath: gateway.socketPath });
      else printLines([`ready: ${gateway.url}, ${gateway.socketPath}`]);
      await stop;
      await gateway.close();
    });
}
