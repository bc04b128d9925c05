import type { Command } from '@commander-js/extra-typings';

import type { DevStack } from '../../dev/run-dev.ts';
import { INTERRUPTED_EXIT_CODE } from '../exit-code.ts';
import { printJson, printLines } from '../output/print.ts';
import { aborted, stopSignals } from '../output/stop-signal.ts';

const EXAMPLES = `
What DATABASE_URL and TEMPORAL_ADDRESS name is used, the rest is started on loopback. Keys, database, history and ports stay the
same from start to start, in $XDG_STATE_HOME/valetkey-dev; --ephemeral keeps nothing and takes free ports. Without DATABASE_URL
the other commands find the stack that runs by themselves, and a shell by its file "env".

The agents talk to a scripted model that costs nothing and reads no prompt: a block named "script" in the prompt says what it
does, otherwise it writes a file that says so. With --live they talk to the real providers.

Ctrl-C cancels the jobs, then ends everything; a second one waits for no job.

Examples:
  $ valetkey dev
  $ ANTHROPIC_API_KEY=… valetkey dev --live
`;

export function addDev(program: Command): void {
  program
    .command('dev')
    .description('Start all parts on this machine, and print the variables for another shell')
    .option('--live', 'use the real providers, with ANTHROPIC_API_KEY and OPENAI_API_KEY')
    .option('--ephemeral', 'keep nothing: new keys, an empty database and free ports')
    .option('--json', 'print the variables and the addresses as one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async ({ live, ephemeral, json }) => {
      const { stackEnvironment, startDev } = await import('../../dev/run-dev.ts');
      const { stop, hurry } = stopSignals();
      const options = { report, live: live === true, ephemeral: ephemeral === true, signal: stop };
      const stack = await startDev(options).catch((error: unknown) => {
        if (!stop.aborted) throw error;
      });
      // What is just being brought, such as Temporal's program, does not keep us.
      if (stack === undefined) process.exit(INTERRUPTED_EXIT_CODE);
      const described = describe(stack, stackEnvironment(stack));
      if (json === true) printJson(described);
      else printLines(await lines(described));
      await aborted(stop);
      report('stopping: the jobs end first (Ctrl-C again: at once)');
      await stack.stop(hurry);
      // A part that was not waited for would keep the process.
      process.exit(hurry.aborted ? INTERRUPTED_EXIT_CODE : 0);
    });
}

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}

function describe({ temporal, gatewayUrl, model, environmentFile }: DevStack, environment: Record<string, string>) {
  return { environment, environmentFile, uiUrl: temporal.uiUrl, gatewayUrl, modelUrl: model?.baseUrl ?? null };
}

/** A shell can read them as they are. */
async function lines({ environment, environmentFile, uiUrl, gatewayUrl, modelUrl }: ReturnType<typeof describe>): Promise<string[]> {
  const { exportLines } = await import('../../dev/folder/environment-file.ts');
  return [
    ...(uiUrl === null ? [] : [`# Temporal's UI: ${uiUrl}`]),
    `# gateway: ${gatewayUrl}`,
    ...(modelUrl === null ? [] : [`# model: scripted, ${modelUrl}`, '# it reads no prompt and costs nothing (--live: real ones)']),
    ...exportLines(environment),
    ...(environmentFile === null ? [] : [`# for other shells: . ${environmentFile}`, '# valetkey finds this stack by itself']),
    '# ready; Ctrl-C stops everything',
  ];
}
