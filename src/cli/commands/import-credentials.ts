import { homedir } from 'node:os';

import { Option, type Command } from '@commander-js/extra-typings';

import type { ValetkeyClient } from '../../client/client.ts';
import { hostEnvironment } from '../../config/config.ts';
import { CREDENTIAL_PATTERN, DEFAULT_CREDENTIAL, DEFAULT_LOGIN } from '../../contract/credential.ts';
import { DIALECTS, type Dialect } from '../../contract/dialect.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { findHostLogins, type HostLogin } from '../../credentials/find-host-credentials.ts';
import { registerSecret } from '../../secrets/redact.ts';
import { sealLogin } from '../../secrets/seal-login.ts';
import { seal } from '../../secrets/seal.ts';
import { Secret } from '../../secrets/secret.ts';
import { nameOf, tenantOf } from '../credential-options.ts';
import { currentPublicKey } from '../current-public-key.ts';
import { printJson, printLines } from '../output/print.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
It reads the environment, then the files of Amp, Claude Code, Codex and OpenCode, and stores the first API key and the first login of each
provider: API keys under the name "default", logins to Claude and ChatGPT plans under "subscription". A login needs --tenant. What is
stored already gets a new version.

The refresh token of a login is single-use. From the import on the gateways refresh it, so the agents of this host must not use the login
any more: log out of them, or log in again for them.

Examples:
  $ valetkey credentials import --tenant acme --kind oauth
  $ valetkey credentials import --provider openai --kind api_key
`;

interface Imported {
  provider: Dialect;
  tenant: string | null;
  name: string;
  version: number;
  kind: HostLogin['kind'];
  source: string;
}

/** Adds `import` to `valetkey credentials`. */
export function addImport(credentials: Command): void {
  credentials
    .command('import')
    .description('Store the credentials that the agents of this host use')
    .option('--tenant <id>', 'default: the organization', tenantOf)
    .option('--name <name>', 'name of what is stored; default: "default" for API keys, "subscription" for logins', nameOf)
    .addOption(new Option('--provider <name>', 'only those for this provider').choices(DIALECTS))
    .addOption(new Option('--kind <kind>', 'only those of this kind').choices(['api_key', 'oauth'] as const))
    .option('-d, --home-dir <folder>', 'the home folder to read', homedir())
    .option('--json', 'print one JSON document: an array of what was stored')
    .addHelpText('after', EXAMPLES)
    .action(async ({ tenant, name, provider, kind, homeDir, json }) => {
      const onHost = await findHostLogins({ home: homeDir, environment: hostEnvironment(), nowMs: Date.now() });
      for (const { secret, refreshToken } of onHost)
        for (const text of [secret, refreshToken]) if (text !== null) registerSecret(new Secret(text));
      const found = DIALECTS.filter((dialect) => provider === undefined || dialect === provider).flatMap((dialect) =>
        onHost
          .filter((one) => one.provider === dialect && (kind === undefined || one.kind === kind))
          .map((one) => ({ ...one, provider: dialect })),
      );
      requireImportable(found, { tenant, name });
      await withClient(async (client, config) => {
        const publicKey = currentPublicKey(config);
        const stored: Imported[] = [];
        for (const one of found) stored.push(await store(client, one, { tenant, name, publicKey }));
        if (json === true) return printJson(stored);
        printLines(stored.map(({ version, source, ...of }) => `Stored version ${version} of the ${titleOf(of)}, from ${source}.`));
        if (stored.some((one) => one.kind === 'oauth'))
          printLines(['The gateways refresh the login from now on. Log out of the agents of this host, or log in again for them.']);
      });
    });
}

type Found = HostLogin & { provider: Dialect };

/** Throws before anything is stored. */
function requireImportable(found: readonly Found[], { tenant, name }: { tenant: string | undefined; name: string | undefined }): void {
  if (found.length === 0) throw new ValetkeyError('credential_not_found', 'This host has no such credential.');
  if (tenant === undefined && found.some(({ kind }) => kind === 'oauth'))
    throw new ValetkeyError('invalid_spec', 'A login belongs to a tenant: add --tenant, or --kind api_key.');
  if (name !== undefined && new Set(found.map(({ provider }) => provider)).size < found.length)
    throw new ValetkeyError('invalid_spec', 'This host has an API key and a login, which cannot have one name: add --kind.');
}

async function store(
  client: ValetkeyClient,
  { provider, kind, source, secret, refreshToken, expiresAtMs, accountId }: Found,
  { tenant, name: wanted, publicKey }: { tenant: string | undefined; name: string | undefined; publicKey: string },
): Promise<Imported> {
  const name = wanted ?? (kind === 'oauth' ? DEFAULT_LOGIN : DEFAULT_CREDENTIAL);
  if (!CREDENTIAL_PATTERN.test(secret)) throw new ValetkeyError('invalid_spec', `What ${source} holds is not one word of printable ASCII.`);
  const sealed =
    kind === 'oauth' && tenant !== undefined
      ? await sealLogin(
          {
            accessToken: secret,
            refreshToken: refreshToken ?? undefined,
            expiresAt: expiresAtMs === null ? undefined : Math.floor(expiresAtMs),
            accountId: accountId ?? undefined,
          },
          { provider, tenant, publicKey },
        )
      : await seal(secret, { purpose: 'upstream', provider, ...(tenant === undefined ? {} : { tenant }), publicKey });
  const credential = { provider, tenant, name, sealed };
  const { version } = await client.credentials.add(credential).catch(async (error: unknown) => {
    if (!ValetkeyError.is(error) || error.code !== 'credential_exists') throw error;
    return client.credentials.rotate(credential);
  });
  return { provider, tenant: tenant ?? null, name, version, kind, source };
}

function titleOf({ kind, name, provider, tenant }: Omit<Imported, 'version' | 'source'>): string {
  const what = kind === 'oauth' ? 'login' : 'credential';
  return `${what} ${name} for ${provider} of ${tenant === null ? 'the organization' : `the tenant ${tenant}`}`;
}
