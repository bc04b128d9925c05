#!/usr/bin/env node
import { createProgram } from './program.ts';
import { reportError } from './report-error.ts';

// Whoever reads the output may stop early: `valetkey events … | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await createProgram().parseAsync();
} catch (error) {
  // Before the options are read it is not known what they are.
  process.exitCode = reportError(error, { json: process.argv.includes('--json') });
}
