import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import type { Place } from './place.ts';

/**
 * What a process of Valetkey is told by its environment (docs/configuration.md, who needs what): the one place where these may
 * stand. The key of a job is in no environment.
 */
const TOLD: Record<string, readonly (string | undefined)[]> = {
  VALETKEY_ROOT_KEY: ['worker'],
  // The gateways have one of their own.
  VALETKEY_SEALING_KEY: ['worker', 'gateway'],
  ANTHROPIC_API_KEY: ['gateway'],
  OPENAI_API_KEY: ['gateway'],
  LITELLM_MASTER_KEY: ['worker'],
  OPENROUTER_PROVISIONING_KEY: ['worker'],
  PORTKEY_API_KEY: ['worker'],
  E2B_API_KEY: ['worker'],
  DAYTONA_API_KEY: ['worker'],
};

/** A process of this machine. */
export interface Process {
  pid: number;
  words: string[];
  /** `NAME=value`; none where it was started inside a sandbox, or may not be read. */
  variables: string[];
}

/**
 * The processes of this machine; `jobsFolder` is where sandboxes without isolation have their homes. Hundreds of small files of the
 * kernel, which answers at once: a thread for each would take ten times as long.
 */
export function listProcesses(jobsFolder: string): Process[] {
  const ours = read(() => readlinkSync('/proc/self/ns/pid'));
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => {
    const words = read(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1')).split('\0');
    const variables = read(() => readFileSync(`/proc/${pid}/environ`, 'latin1')).split('\0');
    const isOutside = read(() => readlinkSync(`/proc/${pid}/ns/pid`)) === ours;
    const inSandbox = !isOutside || variables.some((entry) => entry.startsWith(`HOME=${jobsFolder}/`));
    return { pid: Number(pid), words, variables: inSandbox ? [] : variables };
  });
}

/** The command line of every process, and its environment but what it has to be told. */
export function processTexts(processes: readonly Process[]): Place[] {
  return processes.flatMap(({ pid, words, variables }): Place[] => {
    const untold = variables.filter((entry) => !isTold(words, entry.split('=', 1)[0] ?? ''));
    return [
      [`command line of process ${pid}`, words.join(' ')],
      [`environment of process ${pid}`, untold.join('\n')],
    ];
  });
}

/** Postgres is told to whoever talks to it. */
function isTold(words: readonly string[], variable: string): boolean {
  const program = words.findIndex((word) => word.endsWith('src/cli/index.ts'));
  return variable === 'DATABASE_URL' || (program !== -1 && TOLD[variable]?.includes(words[program + 1]) === true);
}

/** Nothing of a process that has ended, or may not be looked at. */
function read(file: () => string): string {
  try {
    return file();
  } catch {
    return '';
  }
}
