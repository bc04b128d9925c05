import { readFileSync } from 'node:fs';

import { Command } from '@commander-js/extra-typings';
import { z } from 'zod';

import { addAnswer } from './commands/answer.ts';
import { addArtifacts } from './commands/artifacts.ts';
import { addCancel } from './commands/cancel.ts';
import { addCredentials } from './commands/credentials.ts';
import { addDev } from './commands/dev.ts';
import { addEvents } from './commands/events.ts';
import { addGateway } from './commands/gateway.ts';
import { addImages } from './commands/images.ts';
import { addInterrupt } from './commands/interrupt.ts';
import { addKeyring } from './commands/keyring.ts';
import { addKeys } from './commands/keys.ts';
import { addList } from './commands/list.ts';
import { addModels } from './commands/models.ts';
import { addPrompt } from './commands/prompt.ts';
import { addRevoke } from './commands/revoke.ts';
import { addRotate } from './commands/rotate.ts';
import { addRun } from './commands/run.ts';
import { addSchedules } from './commands/schedules.ts';
import { addSchema } from './commands/schema.ts';
import { addSeal, addSealingKey } from './commands/seal.ts';
import { addStatus } from './commands/status.ts';
import { addSweep } from './commands/sweep.ts';
import { addTenants } from './commands/tenants.ts';
import { addWorker } from './commands/worker.ts';
import { EXIT_CODE_HELP } from './exit-code.ts';
import { fitHelp } from './output/help-text.ts';
import { columnsOf } from './output/text.ts';

const ENVIRONMENT_HELP = `
Environment:
  DATABASE_URL        Postgres of the workers
  TEMPORAL_ADDRESS    Temporal's server, localhost:7233 unless set; also TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_PROFILE
  NO_COLOR            disables colors
  VALETKEY_LOG_LEVEL  debug shows where an unexpected error comes from
  Where none of DATABASE_URL, TEMPORAL_* and VALETKEY_TASK_QUEUE is set, a "valetkey dev" that runs on this machine is used.
`;

const EXAMPLES = `
Examples:
  $ valetkey dev
  $ valetkey run --tenant acme --agent codex --model gpt-5.1-codex --budget 1 --prompt 'Fix the failing test.' --path .
  $ valetkey list --running
`;

/** The whole command line. Its errors are thrown, never printed: commander's as CommanderError. */
export function createProgram(): Command {
  // What a command inherits is copied when it is added.
  const program = new Command()
    .name('valetkey')
    .description(
      'Runs coding agents in sandboxes as durable Temporal jobs and gives each job an LLM key of its own that is revoked with the job.',
    )
    .version(version())
    .exitOverride()
    .configureOutput({ writeOut: writeHelp, outputError: () => {} })
    // Their arguments are in their own help: beside them no width would be left for what they do.
    .configureHelp({ subcommandTerm: (command) => command.name(), minWidthToWrap: 20 })
    .showHelpAfterError(false)
    .addHelpText('after', `${ENVIRONMENT_HELP}${EXIT_CODE_HELP}${EXAMPLES}`);
  for (const add of [
    addRun,
    addStatus,
    addEvents,
    addList,
    addPrompt,
    addInterrupt,
    addAnswer,
    addCancel,
    addArtifacts,
    addKeys,
    addRevoke,
    addTenants,
    addRotate,
    addSweep,
    addSchedules,
    addSeal,
    addSealingKey,
    addKeyring,
    addCredentials,
    addModels,
    addImages,
    addSchema,
    addDev,
    addWorker,
    addGateway,
  ])
    add(program);
  return program;
}

function writeHelp(text: string): void {
  process.stdout.write(fitHelp(text, columnsOf(process.stdout)));
}

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return z.object({ version: z.string() }).parse(JSON.parse(file)).version;
}
