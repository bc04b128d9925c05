import { CommanderError, Option, type Command } from '@commander-js/extra-typings';

import { loadConfig, required } from '../../config/config.ts';
import { DIALECTS } from '../../contract/dialect.ts';
import { seal } from '../../secrets/seal.ts';
import { generateSealingKey } from '../../secrets/sealing-key.ts';
import { USAGE_EXIT_CODE } from '../exit-code.ts';
import { findDevStack } from '../find-stack.ts';
import { printJson, printLines } from '../output/print.ts';
import { secretFromInput } from '../secret-from-input.ts';

const SEAL_EXAMPLES = `
The secret comes on standard input, never as an argument. The public key is that of the workers: valetkey sealing-key.

Examples:
  $ valetkey seal --tenant acme --public-key "$(cat sealing.pub)" < token.txt
  $ valetkey seal --tenant acme --json < token.txt | jq -r .sealed
  $ valetkey seal --tenant acme --for tool < npm-token.txt
  $ valetkey seal --tenant acme --for byok --provider openai < openai.key
`;

const KEY_EXAMPLES = `
The private key is for the workers alone, as VALETKEY_SEALING_KEY; several stand there with commas between them. The public
key is for whoever seals, as VALETKEY_SEALING_PUBLIC_KEY.

Examples:
  $ valetkey sealing-key > sealing.env
  $ valetkey sealing-key --json | jq -r .publicKey
`;

export function addSeal(program: Command): void {
  program
    .command('seal')
    .description('Seal a secret for a job: a git token, a tool secret, or a credential at a provider')
    .requiredOption('--tenant <id>', 'whose jobs may use it')
    .addOption(
      new Option(
        '--for <purpose>',
        'git-token: workspace.gitToken and workspace.push.token; tool: sandbox.secrets; byok: credential.sealed',
      )
        .choices(['git-token', 'tool', 'byok'] as const)
        .default('git-token' as const),
    )
    .addOption(new Option('--provider <name>', 'with --for byok: whose credential it is').choices(DIALECTS))
    .option('--public-key <key>', 'default: VALETKEY_SEALING_PUBLIC_KEY')
    .option('--json', 'print one JSON document')
    .addHelpText('after', SEAL_EXAMPLES)
    .action(async ({ tenant, for: purpose, provider, publicKey, json }) => {
      if ((purpose === 'byok') !== (provider !== undefined))
        throw new CommanderError(USAGE_EXIT_CODE, 'valetkey.seal', '--for byok and --provider go together');
      const known = publicKey ?? loadConfig().sealingPublicKey ?? (await findDevStack())?.config.sealingPublicKey;
      const key = required(known, 'VALETKEY_SEALING_PUBLIC_KEY');
      const owner =
        purpose === 'byok' && provider !== undefined
          ? { purpose, provider }
          : ({ purpose: purpose === 'tool' ? purpose : 'git-token' } as const);
      const sealed = await seal(await secretFromInput('seal'), { tenant, ...owner, publicKey: key });
      if (json === true) printJson({ sealed });
      else printLines([sealed]);
    });
}

export function addSealingKey(program: Command): void {
  program
    .command('sealing-key')
    .description('Generate a key pair for sealing, and print it')
    .option('--json', 'print one JSON document')
    .addHelpText('after', KEY_EXAMPLES)
    .action(async ({ json }) => {
      const key = await generateSealingKey();
      if (json === true) printJson(key);
      else printLines([`VALETKEY_SEALING_KEY=${key.privateKey}`, `VALETKEY_SEALING_PUBLIC_KEY=${key.publicKey}`]);
    });
}
