import type { Command } from '@commander-js/extra-typings';

import { printJson, printLines } from '../output/print.ts';
import { table } from '../output/table.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
"valetkey revoke --tenant <id>" blocks a tenant, "valetkey revoke --tenant <id> --unblock" unblocks it.

Examples:
  $ valetkey tenants
`;

export function addTenants(program: Command): void {
  program
    .command('tenants')
    .description('List the blocked tenants, which get no keys')
    .option('--json', 'print one JSON document: an array of tenants')
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }) => {
      await withClient(async (client) => {
        const blocked = await client.tenants.listBlocked();
        if (json === true) printJson(blocked);
        else if (blocked.length === 0) printLines(['no blocked tenants']);
        else
          printLines([
            table(
              ['tenant', 'blocked'],
              blocked.map(({ tenant, blockedAt }) => [tenant, blockedAt]),
            ),
          ]);
      });
    });
}
