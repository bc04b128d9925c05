import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { parseObject, text, type Json } from '../json-rpc/json.ts';
import { readLines } from '../json-rpc/lines.ts';
import { FOLDER } from './entries.ts';

/** The longest line of Amp; a tool’s output is in one line. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

/**
 * Runs Amp for one prompt, in a new thread or in the given one. The token is read from its file each time and is in the environment
 * of this run only. `onMessage` receives each message of Amp, in the format of Claude Code’s stream-json.
 */
export function startAmp(
  amp: string,
  thread: string | null,
  cwd: string,
  content: readonly object[],
  onMessage: (message: Json) => void,
): ChildProcess {
  const { keyFile, mode } = parseObject(readFileSync(join(FOLDER, 'settings.json'), 'utf8')) ?? {};
  const threadArgs = thread === null ? ['--no-archive-after-execute'] : ['threads', 'continue', thread];
  const command = [amp, ...threadArgs, '--execute', '--stream-json-thinking', '--stream-json-input', '--mode', text(mode)];
  const run = spawn('/bin/sh', ['-c', 'AMP_API_KEY=$(cat "$0") exec "$@"', text(keyFile), ...command], {
    cwd,
    // Standard error may hold anything, so it is dropped.
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  run.stdin.on('error', () => {});
  run.stdin.end(`${JSON.stringify({ type: 'user', message: { role: 'user', content } })}\n`);
  readLines(run.stdout, MAX_LINE_BYTES, { onLine: (line) => onMessage(parseObject(line) ?? {}), onTooLong: () => {} });
  return run;
}

/** Resolves when Amp has ended, to the rest of a sentence that begins with its name. */
export async function endOf(run: ChildProcess): Promise<string> {
  return await new Promise((resolve) => {
    run.once('error', () => resolve('could not be started and ended'));
    run.once('close', (code, signal) => resolve(`ended with ${signal ?? `exit code ${code}`}`));
  });
}
