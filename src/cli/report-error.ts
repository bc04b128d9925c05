import { CommanderError } from '@commander-js/extra-typings';

import { loadConfig, type Config } from '../config/config.ts';
import { secretsOf } from '../config/secrets.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { createLiveRedactor } from '../secrets/redact.ts';
import { exitCodeOfFailure, UNEXPECTED_EXIT_CODE, USAGE_EXIT_CODE } from './exit-code.ts';
import { errorLines, errorReport, type ErrorReport } from './output/error-report.ts';
import { columnsOf, paintFor } from './output/text.ts';

/**
 * Prints an error on standard error, as JSON with `json`, and returns the exit code. The stack is shown only when VALETKEY_LOG_LEVEL is debug
 * or trace.
 */
export function reportError(error: unknown, { json }: { json: boolean }): number {
  if (error instanceof CommanderError) return reportUsage(error, json);
  const config = configuration();
  const redact = createLiveRedactor(config === null ? [] : secretsOf(config));
  write(errorReport(error), json, redact);
  const verbose = config?.logLevel === 'debug' || config?.logLevel === 'trace';
  if (verbose && !json && error instanceof Error) process.stderr.write(`${redact(error.stack ?? '')}\n`);
  return ValetkeyError.is(error) ? exitCodeOfFailure(error.code) : UNEXPECTED_EXIT_CODE;
}

function reportUsage({ code, exitCode, message }: CommanderError, json: boolean): number {
  if (exitCode === 0) return 0;
  // Without a command commander prints the help itself.
  if (code !== 'commander.help') {
    write(
      { code: 'usage', message: message.replace(/^error: /, ''), hint: 'Add --help to see what is allowed.', issues: [] },
      json,
      (text) => text,
    );
  }
  return USAGE_EXIT_CODE;
}

function write(report: ErrorReport, json: boolean, redact: (text: string) => string): void {
  const text = json
    ? JSON.stringify({ error: report })
    : errorLines(report, paintFor(process.stderr), columnsOf(process.stderr)).join('\n');
  process.stderr.write(`${redact(text)}\n`);
}

/** Returns the configuration; null when it is invalid. */
function configuration(): Config | null {
  try {
    return loadConfig();
  } catch {
    return null;
  }
}
