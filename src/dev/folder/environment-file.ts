import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv } from 'node:util';

import { shellQuote } from '../../system/shell-quote.ts';
import { runningInstance } from './instance.ts';

/** The file with the variables of a stack that runs, for shells (`. file`), for `node --env-file` and for the command line. */
export function environmentFile(folder: string): string {
  return join(folder, 'env');
}

/** Readable for its user alone: it holds the password of the database. A reader sees all of it or nothing. */
export async function writeEnvironment(folder: string, environment: Record<string, string>): Promise<void> {
  const file = environmentFile(folder);
  await rm(`${file}.new`, { force: true });
  await writeFile(
    `${file}.new`,
    exportLines(environment).map((line) => `${line}\n`),
    { mode: 0o600 },
  );
  await rename(`${file}.new`, file);
}

export async function removeEnvironment(folder: string): Promise<void> {
  await rm(environmentFile(folder), { force: true });
}

/** Lines that a shell can read as they are. */
export function exportLines(environment: Record<string, string>): string[] {
  return Object.entries(environment).map(([name, value]) => `export ${name}=${shellQuote(value)}`);
}

export type FoundEnvironment =
  | { state: 'running'; pid: number | undefined; environment: NodeJS.Dict<string> }
  /** A stack that is starting, or stopping. */
  | { state: 'not_ready'; pid: number | undefined }
  /** A process that was killed left its file. */
  | { state: 'stale' }
  | { state: 'none' };

/** The variables of the stack that runs on a data folder. Throws nothing. */
export async function findEnvironment(folder: string): Promise<FoundEnvironment> {
  const [text, pid] = await Promise.all([readFile(environmentFile(folder), 'utf8').catch(() => null), runningInstance(folder)]);
  if (pid === null) return { state: text === null ? 'none' : 'stale' };
  return text === null ? { state: 'not_ready', pid } : { state: 'running', pid, environment: parseEnv(text) };
}
