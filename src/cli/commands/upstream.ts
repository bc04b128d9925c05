import { Argument, CommanderError, InvalidArgumentError, type Command } from '@commander-js/extra-typings';

import { required, type Config } from '../../config/config.ts';
import { DIALECTS } from '../../contract/dialect.ts';
import { tenantSchema } from '../../contract/spec.ts';
import { readKeyringFile } from '../../secrets/keyring-file.ts';
import { registerSecret } from '../../secrets/redact.ts';
import { seal } from '../../secrets/seal.ts';
import { encodePublicKey } from '../../secrets/sealing-key.ts';
import { Secret } from '../../secrets/secret.ts';
import { openDatabase, type Db } from '../../store/database.ts';
import {
  addUpstreamCredential,
  forgetUpstreamCredential,
  listUpstreamCredentials,
  type CredentialOwner,
} from '../../store/upstream-credentials.ts';
import { USAGE_EXIT_CODE } from '../exit-code.ts';
import { findStack } from '../find-stack.ts';
import { printJson, printLines } from '../output/print.ts';
import { secretFromInput } from '../secret-from-input.ts';

const EXAMPLES = `
The credential comes on standard input, never as an argument, and is stored sealed for the gateways: with the key ring that
VALETKEY_KEYRING names, else with VALETKEY_SEALING_PUBLIC_KEY. From then on gateways use it for each request that begins.
With --tenant it is used for the requests of that tenant alone; a tenant without its own uses the organization's.
Each of these commands takes --json.

Examples:
  $ valetkey upstream set openai < openai.key
  $ valetkey upstream set anthropic --tenant acme < acme.key
  $ valetkey upstream list
  $ valetkey upstream forget anthropic 1 --tenant acme
`;

export function addUpstream(program: Command): void {
  const upstream = program
    .command('upstream')
    .description('Manage the gateway’s credentials at the providers: replace them without a restart')
    .addHelpText('after', EXAMPLES);
  upstream
    .command('set')
    .description('Store a credential as the newest version')
    .addArgument(dialectArgument())
    .option('--tenant <id>', "default: the organization's", tenantOf)
    .option('--json', 'print one JSON document')
    .action(async (dialect, { tenant, json }) => {
      const { config } = await findStack();
      const publicKey = currentPublicKey(config);
      const credential = await credentialFromInput();
      const owner = { dialect, ...(tenant === undefined ? {} : { tenant }) };
      const sealed = await seal(credential.reveal(), { purpose: 'upstream', ...owner, publicKey });
      const stored = { dialect, tenant: tenant ?? null };
      const version = await withStore(config, (db) => addUpstreamCredential(db, stored, sealed));
      if (json === true) printJson({ ...stored, version });
      else printLines([nameOf(stored, version)]);
    });
  upstream
    .command('list')
    .description('List the stored versions; the newest of each provider and tenant that a gateway can open is in use')
    .option('--json', 'print one JSON document: an array of versions')
    .action(async ({ json }) => {
      const stored = await withStore((await findStack()).config, listUpstreamCredentials);
      const versions = stored.map(({ dialect, tenant, version, createdAt }) => ({
        dialect,
        tenant,
        version,
        createdAt: createdAt.toISOString(),
      }));
      if (json === true) printJson(versions);
      else if (versions.length === 0) printLines(['No credential is stored.']);
      else printLines(versions.map(({ createdAt, ...one }) => `${createdAt}  ${nameOf(one, one.version)}`));
    });
  upstream
    .command('forget')
    .description('Delete a version; if it was in use, the previous one is used from then on')
    .addArgument(dialectArgument())
    .argument('<version>', 'as "list" shows it', versionOf)
    .option('--tenant <id>', "default: the organization's", tenantOf)
    .option('--json', 'print one JSON document')
    .action(async (dialect, version, { tenant, json }) => {
      const owner = { dialect, tenant: tenant ?? null };
      const forgotten = await withStore((await findStack()).config, (db) => forgetUpstreamCredential(db, owner, version));
      if (json === true) printJson({ ...owner, version, forgotten });
      else printLines([`${forgotten ? 'Deleted' : 'There is no'} ${nameOf(owner, version)}.`]);
    });
}

function dialectArgument() {
  return new Argument('<provider>').choices(DIALECTS);
}

function versionOf(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a number from 1 on.');
}

function tenantOf(text: string): string {
  const { data, error } = tenantSchema.safeParse(text);
  if (data === undefined) throw new InvalidArgumentError(`It ${error?.issues[0]?.message ?? 'is no tenant'}.`);
  return data;
}

function nameOf({ dialect, tenant }: CredentialOwner, version: number): string {
  return `${dialect}${tenant === null ? '' : ` of tenant ${tenant}`} version ${version}`;
}

/** That of the ring is the newest; the variable can be older. Throws `invalid_config`. */
function currentPublicKey({ keyringPath, sealingPublicKey }: Config): string {
  const [current] = keyringPath === undefined ? [] : readKeyringFile(keyringPath).content.sealingKeys;
  return current === undefined ? required(sealingPublicKey, 'VALETKEY_SEALING_PUBLIC_KEY') : encodePublicKey(current);
}

async function credentialFromInput(): Promise<Secret> {
  const credential = new Secret(await secretFromInput('upstream'));
  registerSecret(credential);
  // It becomes part of a header.
  if (!/^[\x21-\x7e]+$/.test(credential.reveal()))
    throw new CommanderError(USAGE_EXIT_CODE, 'valetkey.upstream', 'the credential must be one word of printable ASCII');
  return credential;
}

async function withStore<T>({ databaseUrl }: Config, use: (db: Db) => Promise<T>): Promise<T> {
  const database = openDatabase(required(databaseUrl, 'DATABASE_URL'));
  try {
    return await use(database.db);
  } finally {
    await database.close();
  }
}
