import { pino, stdTimeFunctions, type Logger } from 'pino';

import { ValetkeyError } from '../contract/errors.ts';
import { createLiveRedactor } from '../secrets/redact.ts';
import type { Secret } from '../secrets/secret.ts';

export type { Logger };

const MAX_FRAMES = 10;

export interface LogOptions {
  level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** Masked in every line, as are the secrets that the process learns later. */
  secrets?: readonly Secret[];
  /** Path of the file to append to; standard error where left out. */
  file?: string;
}

/**
 * Creates a logger of JSON lines. Every line passes the redactor as text, since pino's own redaction covers only named fields. An
 * error is logged with its name, code, message and stack frames, never with its cause or other properties: those of some clients
 * hold request headers.
 */
export function createLogger({ level, secrets = [], file }: LogOptions): Logger {
  const redact = createLiveRedactor(secrets);
  const target = pino.destination({ dest: file ?? 2, sync: true });
  return pino(
    { level, base: null, timestamp: stdTimeFunctions.isoTime, serializers: { err: describeError, error: describeError } },
    { write: (line: string) => target.write(redact(line)) },
  );
}

function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: 'The thrown value is not an Error.' };
  const code = ValetkeyError.is(error) ? error.code : 'code' in error ? String(error.code) : undefined;
  const frames = ValetkeyError.is(error) ? undefined : error.stack?.match(/^ +at .+$/gm)?.slice(0, MAX_FRAMES);
  return { name: error.name, code, message: error.message, frames };
}
