import type { Command } from '@commander-js/extra-typings';

import { loadConfig, type Config } from '../../config/config.ts';
import { secretsOf } from '../../config/secrets.ts';
import { createLogger } from '../../telemetry/log.ts';
import { printJson, printLines } from '../output/print.ts';
import { stopSignal } from '../output/stop-signal.ts';
import { refuseVariables } from '../refuse-variables.ts';

const EXAMPLES = `
Logs JSON lines on standard error and reports readiness on standard output. Stops on SIGTERM or SIGINT.

Examples:
  $ DATABASE_URL=postgres://… ANTHROPIC_API_KEY=… valetkey gateway
`;

/** A gateway meets the requests of sandboxes, so it is not to have a key that mints keys or opens sandboxes. Throws `invalid_config`. */
function refuseAdminKeys({ gateways: { litellm, openrouter, portkey }, remoteSandboxes: { e2b, daytona } }: Config): void {
  refuseVariables(
    {
      LITELLM_MASTER_KEY: litellm?.masterKey,
      OPENROUTER_PROVISIONING_KEY: openrouter?.provisioningKey,
      PORTKEY_API_KEY: portkey?.adminKey,
    },
    'is for workers, which mint the keys; unset it for a gateway, which meets the requests of sandboxes',
  );
  refuseVariables(
    { E2B_API_KEY: e2b?.apiKey, DAYTONA_API_KEY: daytona?.apiKey },
    'is for workers, which start the sandboxes; unset it for a gateway, which meets their requests',
  );
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
