import type { Command } from '@commander-js/extra-typings';

import type { ValetkeyClient } from '../../client/client.ts';
import type { RevokeReport, UnknownTenant } from '../../contract/revocation.ts';
import { printJson, printProse } from '../output/print.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
The built-in gateway refuses the keys at once and cuts what is open on them, also with workers or Temporal away; the workers then see
them refused and settle what they spent. What takes longer than 15 s is reported as pending and goes on. A job whose key was revoked fails with
key_refused as soon as its agent uses it.

Examples:
  $ valetkey revoke job-42
  $ valetkey revoke --tenant acme
  $ valetkey revoke --tenant acme --unblock
`;

export function addRevoke(program: Command): void {
  program
    .command('revoke')
    .description('Revoke the keys of a job or of a tenant, or one key, at once')
    .argument('[job|ref]', 'id of the job, or the ref of one key')
    .option('--tenant <id>', 'every key of this tenant, which gets no new ones until --unblock')
    .option('--unblock', 'allow new keys for the tenant again')
    .option('--json', 'print one JSON document: what was done')
    .addHelpText('after', EXAMPLES)
    .action(async (name, { tenant, unblock, json }, command) => {
      if ((name === undefined) === (tenant === undefined)) command.error('error: name either a job, a ref or --tenant');
      if (unblock === true && tenant === undefined) command.error('error: --unblock goes with --tenant');
      await withClient(async (client) => {
        if (tenant !== undefined && unblock === true) return unblockTenant(client, tenant, json === true);
        const target = tenant === undefined ? targetOf(name ?? '') : { tenant };
        const report = await client.keys.revoke(target);
        if (json === true) printJson({ ...target, ...report });
        else printProse(reportLines(report, tenant));
      });
    });
}

async function unblockTenant(client: ValetkeyClient, tenant: string, json: boolean): Promise<void> {
  const wasBlocked = await client.tenants.unblock(tenant);
  if (json) printJson({ tenant, blocked: false, wasBlocked });
  else printProse([wasBlocked ? `${tenant} gets new keys again` : `${tenant} was not blocked`]);
}

/** No id of a job has a slash. */
function targetOf(name: string): { jobId: string } | { ref: string } {
  return name.includes('/') ? { ref: name } : { jobId: name };
}

function reportLines({ disabled, ended, pending, failed, unknownTenant }: RevokeReport, tenant: string | undefined): string[] {
  return [
    count(disabled, 'disabled now'),
    count(ended, 'ended: a request with the key was seen refused, and its spend is settled'),
    count(pending, `pending${pending === 0 ? '' : ': workers go on with it (valetkey keys shows how far)'}`),
    ...failed.map(({ ref, code }) => `       ${ref}  ${code}`),
    ...(tenant === undefined || unknownTenant === null ? [] : [unknownLine(tenant, unknownTenant)]),
    ...(tenant === undefined ? [] : [`${tenant} gets no new keys until: valetkey revoke --tenant ${tenant} --unblock`]),
  ];
}

function unknownLine(tenant: string, { nearest }: UnknownTenant): string {
  return `Warning: no tenant ${tenant} ever had a key.${nearest === null ? '' : ` Did you mean ${nearest}?`}`;
}

function count(number: number, what: string): string {
  return `${String(number).padStart(5)}  ${what}`;
}
