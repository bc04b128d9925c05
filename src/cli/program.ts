import { readFileSync } from 'node:fs';

import { Command } from '@commander-js/extra-typings';
import { z } from 'zod';

import { addAnswer } from './answer.ts';
import { addArtifacts } from './artifacts.ts';
import { addCancel } from './cancel.ts';
import { addDev } from './dev.ts';
import { addEvents } from './events.ts';
import { EXIT_CODE_HELP } from './exit-code.ts';
import { addGateway } from './gateway.ts';
import { addInterrupt } from './interrupt.ts';
import { addKeyring } from './keyring.ts';
import { addKeys } from './keys.ts';
import { addList } from './list.ts';
import { addModels } from './models.ts';
import { addPrompt } from './prompt.ts';
import { addRevoke } from './revoke.ts';
import { addRotate } from './rotate.ts';
import { addRun } from './run.ts';
import { addSchedules } from './schedules.ts';
import { addSchema } from './schema.ts';
import { addSeal, addSealingKey } from './seal.ts';
import { addStatus } from './status.ts';
import { addSweep } from './sweep.ts';
import { addUpstream } from './upstream.ts';
import { addWorker } from './worker.ts';

const ENVIRONMENT_HELP = `
Environment:
  DATABASE_URL      Postgres of the workers
  TEMPORAL_ADDRESS  Temporal's server, localhost:7233 unless set; also TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_PROFILE
  NO_COLOR          no colours
  VALETKEY_LOG_LEVEL=debug shows where an unexpected error comes from
  "valetkey dev" starts both servers and prints the variables for another shell.
`;

const EXAMPLES = `
Examples:
  $ valetkey dev
  $ valetkey run --tenant acme --agent codex --model gpt-5.1-codex --budget 1 --prompt 'Mend the failing test.' --path .
  $ valetkey list --running
`;

/** The whole command line. Its errors are thrown, never printed: commander's as CommanderError. */
export function createProgram(): Command {
  // What a command inherits is copied when it is added.
  const program = new Command()
    .name('valetkey')
    .description(
      'Runs coding agents in sandboxes as durable Temporal jobs and gives each job an LLM key of its own that dies with the job.',
    )
    .version(version())
    .exitOverride()
    .configureOutput({ outputError: () => {} })
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
    addRotate,
    addSweep,
    addSchedules,
    addSeal,
    addSealingKey,
    addKeyring,
    addUpstream,
    addModels,
    addSchema,
    addDev,
    addWorker,
    addGateway,
  ])
    add(program);
  return program;
}

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return z.object({ version: z.string() }).parse(JSON.parse(file)).version;
}
