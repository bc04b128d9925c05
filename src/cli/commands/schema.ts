import type { Command } from '@commander-js/extra-typings';

import { jobSpecJsonSchema } from '../../contract/spec.ts';

const EXAMPLES = `
Examples:
  $ valetkey schema > job.schema.json
`;

export function addSchema(program: Command): void {
  program
    .command('schema')
    .description('Print the JSON Schema of a job, as "run --spec" reads it')
    .option('--json', 'as without: it is one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(() => {
      process.stdout.write(`${JSON.stringify(jobSpecJsonSchema(), null, 2)}\n`);
    });
}
