import { homedir } from 'node:os';

import type { Command } from '@commander-js/extra-typings';

import { hostEnvironment } from '../../config/config.ts';
import { findHostCredentials } from '../../credentials/find-host-credentials.ts';
import { formatEnvironment } from '../../credentials/format-environment.ts';
import { printJson, printLines } from '../output/print.ts';

const EXAMPLES = `
Prints secrets. It reads the environment, then the files of Amp, Claude Code, Codex and OpenCode, and prints the first credential of each
provider, quoted for a POSIX shell. Prints nothing where there is none.

Examples:
  $ eval "$(valetkey credentials extract-env --export)"
  $ valetkey credentials extract-env --no-oauth --json | jq -r '.[].provider'
`;

/** Adds `extract-env` to `valetkey credentials`. */
export function addExtractEnv(credentials: Command): void {
  credentials
    .command('extract-env')
    .description('Print the credentials that the agents of this host use, as environment variables')
    .option('-e, --export', 'begin each line with "export "', false)
    .option('--no-oauth', 'leave out access tokens of subscriptions')
    .option('-d, --home-dir <folder>', 'the home folder to read', homedir())
    .option('--json', 'print one JSON document: an array of provider, kind and secret')
    .addHelpText('after', EXAMPLES)
    .action(async ({ export: isExported, oauth, homeDir, json }) => {
      const found = await findHostCredentials({ home: homeDir, environment: hostEnvironment(), includeOauth: oauth, nowMs: Date.now() });
      if (json === true) printJson(found);
      else printLines(formatEnvironment(found, { isExported }));
    });
}
