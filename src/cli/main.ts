import { onClosedPipe } from './output/closed-pipe.ts';
import { createProgram } from './program.ts';
import { reportError } from './report-error.ts';

// Whoever reads the output may stop early: `valetkey events … | head`.
onClosedPipe(process.stdout, () => process.exit());
// `dev` has to stop what it started all the same.
onClosedPipe(process.stderr, () => {});

try {
  await createProgram().parseAsync();
} catch (error) {
  // Before the options are read it is not known what they are.
  process.exitCode = reportError(error, { json: process.argv.includes('--json') });
}
