import type { Command } from '@commander-js/extra-typings';

import type { Stack } from '../../dev/stack.ts';
import { printJson, printLines } from '../output/print.ts';
import { stopSignal } from '../output/stop-signal.ts';

const EXAMPLES = `
What DATABASE_URL and TEMPORAL_ADDRESS name is used, the rest is started on loopback. The agents talk to a scripted model that
costs nothing: a prompt says in a block named "script" what it does.

Examples:
  $ valetkey dev
  $ ANTHROPIC_API_KEY=… valetkey dev --live
`;

export function addDev(program: Command): void {
  program
    .command('dev')
    .description('start all parts on this machine, and print the variables for another shell')
    .option('--live', 'use the real providers, with ANTHROPIC_API_KEY and OPENAI_API_KEY')
    .option('--json', 'print the variables and the addresses as one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(async ({ live, json }) => {
      const { startStack } = await import('../../dev/stack.ts');
      const stop = stopSignal();
      const stack = await startStack({ report, live: live === true });
      if (json === true) printJson(describe(stack));
      else printLines(environmentLines(stack));
      await stop;
      report('stopping');
      await stack.stop();
    });
}

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}

function describe({ config, temporal, gatewayUrl, model }: Stack) {
  const environment = {
    DATABASE_URL: config.databaseUrl ?? '',
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_TASK_QUEUE: config.taskQueue,
    VALETKEY_DEPLOYMENT: config.deployment,
  };
  return { environment, uiUrl: temporal.uiUrl, gatewayUrl, modelUrl: model?.baseUrl ?? null };
}

/** A shell can read them as they are. */
function environmentLines(stack: Stack): string[] {
  const { environment, uiUrl, gatewayUrl, modelUrl } = describe(stack);
  return [
    ...(uiUrl === null ? [] : [`# Temporal's UI: ${uiUrl}`]),
    `# gateway: ${gatewayUrl}`,
    ...(modelUrl === null ? [] : [`# scripted model: ${modelUrl}`]),
    ...Object.entries(environment).map(([name, value]) => `export ${name}=${quote(value)}`),
    '# ready; Ctrl-C stops everything',
  ];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
