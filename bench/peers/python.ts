import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { loadConfig } from '../../src/config/config.ts';
import { exists } from '../../src/system/exists.ts';
import { say } from '../report.ts';

const INSTALL_TIMEOUT_MS = 300_000;

/**
 * Installs Python packages into a virtual environment in the cache, once. Only wheels: nothing is compiled and no install script runs.
 * Resolves to the environment's folder of programs. Throws where `python3` with venv and pip is missing, and where a package is unavailable.
 */
export async function providePython(name: string, packages: readonly string[]): Promise<string> {
  const folder = join(loadConfig().cacheDir, 'bench-peers', name);
  const bin = join(folder, 'bin');
  const marker = join(folder, 'installed');
  if (await exists(marker)) return bin;
  say(`installing ${name}, once`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await run('python3', ['-m', 'venv', folder]);
  await run(join(bin, 'pip'), ['install', '--quiet', '--no-deps', '--only-binary', ':all:', ...packages]);
  await writeFile(marker, '');
  return bin;
}

async function run(command: string, args: string[]): Promise<void> {
  const { failed, stderr } = await execa(command, args, { reject: false, timeout: INSTALL_TIMEOUT_MS, stdin: 'ignore' });
  if (failed) throw new Error(`${command} ${args[0]} failed: ${stderr.trim().split('\n').at(-1)}`);
}
