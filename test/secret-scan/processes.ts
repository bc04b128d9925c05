import { readdir, readFile, readlink } from 'node:fs/promises';

import type { Place } from './place.ts';

/**
 * What a process of Valetkey is told by its environment (docs/configuration.md, who needs what): the one place where these may
 * stand. The key of a job is in no environment.
 */
const TOLD: Record<string, string> = {
  VALETKEY_ROOT_KEY: 'worker',
  VALETKEY_SEALING_KEY: 'worker',
  ANTHROPIC_API_KEY: 'gateway',
  OPENAI_API_KEY: 'gateway',
};

/** A process of this machine. */
export interface Process {
  pid: number;
  words: string[];
  /** `NAME=value`; none where it was started inside a sandbox, or may not be read. */
  variables: string[];
}

/** The processes of this machine; `jobsFolder` is where sandboxes without isolation have their homes. */
export async function listProcesses(jobsFolder: string): Promise<Process[]> {
  const ours = await readlink('/proc/self/ns/pid').catch(() => '');
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  return Promise.all(
    pids.map(async (pid) => {
      const [words, variables, namespace] = await Promise.all([
        nulSeparated(`/proc/${pid}/cmdline`),
        nulSeparated(`/proc/${pid}/environ`),
        readlink(`/proc/${pid}/ns/pid`).catch(() => ''),
      ]);
      const inside = namespace !== ours || variables.some((entry) => entry.startsWith(`HOME=${jobsFolder}/`));
      return { pid: Number(pid), words, variables: inside ? [] : variables };
    }),
  );
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
  return variable === 'DATABASE_URL' || (program !== -1 && TOLD[variable] === words[program + 1]);
}

async function nulSeparated(file: string): Promise<string[]> {
  return (await readFile(file, 'latin1').catch(() => '')).split('\0');
}
