import { CommanderError } from '@commander-js/extra-typings';

import { loadConfig, type Config } from '../config.ts';
import { ValetkeyError, type FieldIssue } from '../job/errors.ts';
import { createRedactor } from '../secrets/redact.ts';
import { harmless, paintFor } from '../terminal/text.ts';
import { exitCodeOfFailure, USAGE_EXIT_CODE } from './exit-code.ts';
import { secretsOf } from './secrets.ts';

interface Report {
  code: string;
  message: string;
  hint: string | null;
  issues: readonly FieldIssue[];
}

/**
 * Says on standard error what went wrong, as JSON for a program, and returns the exit code. Of an error that is not known
 * the stack shows with VALETKEY_LOG_LEVEL=debug or trace only.
 */
export function reportError(error: unknown, { json }: { json: boolean }): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const { report, exitCode } = describe(error);
  // Help in place of a command was printed by commander.
  if (error instanceof CommanderError && error.code === 'commander.help') return exitCode;
  const config = configuration();
  const redact = createRedactor(config === null ? [] : secretsOf(config));
  const text = json ? JSON.stringify({ error: report }) : forPerson(report);
  process.stderr.write(`${redact(text)}\n`);
  const verbose = config?.logLevel === 'debug' || config?.logLevel === 'trace';
  if (verbose && !json && error instanceof Error && error.stack !== undefined) process.stderr.write(`${redact(error.stack)}\n`);
  return exitCode;
}

function describe(error: unknown): { report: Report; exitCode: number } {
  if (ValetkeyError.is(error)) {
    const { code, message, hint, issues } = error;
    return { report: { code, message, hint, issues }, exitCode: exitCodeOfFailure(code) };
  }
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, '');
    return { report: { code: 'usage', message, hint: 'Add --help to see what is allowed.', issues: [] }, exitCode: USAGE_EXIT_CODE };
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : 'An error that is not an error';
  return { report: { code: 'internal', message, hint: 'VALETKEY_LOG_LEVEL=debug shows where it came from.', issues: [] }, exitCode: 1 };
}

/** The message of wrong fields repeats them: one a line reads better. */
function forPerson({ message, hint, issues }: Report): string {
  const paint = paintFor(process.stderr);
  const [only, ...more] = issues;
  const wrong = only !== undefined && more.length > 0;
  return [
    `${paint('red', 'valetkey:')} ${wrong ? `${issues.length} fields are wrong` : harmless(message).replace(/\s*\n\s*/g, ' ')}`,
    ...(wrong ? issues.map(({ path, message: allowed }) => `  ${harmless(path) || 'job'}: ${allowed}`) : []),
    ...(hint === null ? [] : [paint('dim', hint)]),
  ].join('\n');
}

/** Null where it is the configuration that is wrong. */
function configuration(): Config | null {
  try {
    return loadConfig();
  } catch {
    return null;
  }
}
