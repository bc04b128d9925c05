import type { Command } from '@commander-js/extra-typings';

import { loadConfig, type Config } from '../../config/config.ts';
import { secretsOf } from '../../config/secrets.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { createLogger } from '../../telemetry/log.ts';
import { printJson, printLines } from '../output/print.ts';
import { stopSignal } from '../output/stop-signal.ts';

const EXAMPLES = `
Logs JSON lines on standard error and reports readiness on standard output. Stops on SIGTERM or SIGINT.

Examples:
  $ DATABASE_URL=postgres://… ANTHROPIC_API_KEY=… valetkey gateway
`;

/** A gateway meets the requests of sandboxes, so it is not to have a key that mints keys. Throws `invalid_config`. */
function refuseAdminKeys({ gateways }: Config): void {
  const set = [
    ...(gateways.litellm === undefined ? [] : ['LITELLM_MASTER_KEY']),
    ...(gateways.openrouter === undefined ? [] : ['OPENROUTER_PROVISIONING_KEY']),
    ...(gateways.portkey === undefined ? [] : ['PORTKEY_API_KEY']),
  ];
  if (set.length === 0) return;
  const message = 'is for workers, which mint the keys; unset it for a gateway, which meets the requests of sandboxes';
  const issues = set.map((path) => ({ path, message }));
  throw new ValetkeyError('invalid_config', `${set.join(', ')}: ${message}.`, issues);
}

export function addGateway(program: Command): void {
  program
    .command('gateway')
    .description('Run the built-in gateway, on a port and on the unix socket of the local sandboxes')
    .option('--json', 'report readiness as one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }) => {
      const config = loadConfig();
      refuseAdminKeys(config);
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
