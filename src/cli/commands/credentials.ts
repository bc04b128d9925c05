import { Argument, CommanderError, InvalidArgumentError, type Command } from '@commander-js/extra-typings';

import type { CredentialName } from '../../client/credentials.ts';
import type { Config } from '../../config/config.ts';
import { CREDENTIAL_PATTERN, DEFAULT_CREDENTIAL } from '../../contract/credential.ts';
import { DIALECTS } from '../../contract/dialect.ts';
import { registerSecret } from '../../secrets/redact.ts';
import { seal } from '../../secrets/seal.ts';
import { Secret } from '../../secrets/secret.ts';
import { nameOf, tenantOf } from '../credential-options.ts';
import { currentPublicKey } from '../current-public-key.ts';
import { USAGE_EXIT_CODE } from '../exit-code.ts';
import { printJson, printLines } from '../output/print.ts';
import { table } from '../output/table.ts';
import { secretFromInput } from '../secret-from-input.ts';
import { withClient } from '../with-client.ts';
import { addExtractEnv } from './extract-env.ts';
import { addImport } from './import-credentials.ts';

const EXAMPLES = `
A credential comes on standard input, never as an argument, and is stored sealed for the gateways: with the keyring that
VALETKEY_KEYRING names, else with VALETKEY_SEALING_PUBLIC_KEY. Gateways use it for each request that begins from then on.

With --tenant it is the tenant's, else the organization's. The one named "default" is what jobs with the strategy "gateway" use:
the tenant's, else the organization's. Jobs name others: strategy "byok" one of their tenant, "shared" one of the organization,
"subscription" a login of their tenant to a Claude or ChatGPT plan.
Each of these commands takes --json.

Examples:
  $ valetkey credentials add openai < openai.key
  $ valetkey credentials add anthropic --tenant acme --name claude < acme.key
  $ valetkey credentials rotate openai < new-openai.key
  $ valetkey credentials import --tenant acme --kind oauth
  $ valetkey credentials list
  $ valetkey credentials remove anthropic --tenant acme --name claude
`;

export function addCredentials(program: Command): void {
  const credentials = program
    .command('credentials')
    .description('Manage the stored credentials at the providers: add, replace and remove them without a restart')
    .addHelpText('after', EXAMPLES);
  addExtractEnv(credentials);
  addImport(credentials);
  for (const [action, description] of [
    ['add', 'Store a credential'],
    ['rotate', 'Store the next version of a credential'],
  ] as const) {
    credentials
      .command(action)
      .description(description)
      .addArgument(providerArgument())
      .option('--tenant <id>', 'default: the organization', tenantOf)
      .option('--name <name>', 'name of the credential', nameOf, DEFAULT_CREDENTIAL)
      .option('--json', 'print one JSON document')
      .action(async (provider, { json, ...owner }) => {
        await withClient(async (client, config) => {
          const sealed = await sealInput(config, { provider, ...owner });
          const { version } = await client.credentials[action]({ provider, ...owner, sealed });
          if (json === true) printJson({ provider, tenant: owner.tenant ?? null, name: owner.name, version });
          else printLines([`Stored version ${version} of ${titleOf({ provider, ...owner })}.`]);
        });
      });
  }
  credentials
    .command('list')
    .description('List the stored versions; the newest of each that a gateway can open is in use')
    .option('--json', 'print one JSON document: an array of versions')
    .action(async ({ json }) => {
      await withClient(async (client) => {
        const stored = await client.credentials.list();
        const rows = stored.map(({ provider, tenant, name, version, kind, state, expiresAt, createdAt, lastUsedAt }) => [
          provider,
          tenant ?? '(organization)',
          name,
          String(version),
          kind,
          state,
          expiresAt ?? '',
          createdAt,
          lastUsedAt ?? 'never',
        ]);
        if (json === true) printJson(stored);
        else if (rows.length === 0) printLines(['No credential is stored.']);
        else printLines([table(['provider', 'tenant', 'name', 'version', 'kind', 'state', 'expires', 'stored', 'last used'], rows)]);
      });
    });
  credentials
    .command('remove')
    .description('Remove a credential, or one version of it: the one before is then in use')
    .addArgument(providerArgument())
    .option('--tenant <id>', 'default: the organization', tenantOf)
    .option('--name <name>', 'name of the credential', nameOf, DEFAULT_CREDENTIAL)
    .option('--version <number>', 'as "list" shows it; default: all versions', versionOf)
    .option('--json', 'print one JSON document')
    .action(async (provider, { json, ...owner }) => {
      await withClient(async (client) => {
        const { versions } = await client.credentials.remove({ provider, ...owner });
        if (json === true) printJson({ provider, tenant: owner.tenant ?? null, name: owner.name, versions });
        else printLines([`Removed version ${versions.join(', ')} of ${titleOf({ provider, ...owner })}.`]);
      });
    });
}

function providerArgument() {
  return new Argument('<provider>').choices(DIALECTS);
}

function versionOf(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a number from 1 on.');
}

function titleOf({ provider, tenant, name }: CredentialName): string {
  return `the credential ${name} for ${provider} of ${tenant === undefined ? 'the organization' : `the tenant ${tenant}`}`;
}

async function sealInput(config: Config, { provider, tenant }: CredentialName): Promise<string> {
  const publicKey = currentPublicKey(config);
  const credential = new Secret(await secretFromInput('credentials'));
  registerSecret(credential);
  if (!CREDENTIAL_PATTERN.test(credential.reveal()))
    throw new CommanderError(USAGE_EXIT_CODE, 'valetkey.credentials', 'the credential must be one word of printable ASCII');
  return seal(credential.reveal(), { purpose: 'upstream', provider, ...(tenant === undefined ? {} : { tenant }), publicKey });
}
