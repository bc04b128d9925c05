import { execa } from 'execa';

import { ValetkeyError } from '../job/errors.ts';

const GIT_TIMEOUT_MS = 300_000;

/** Keeps git from configuration that is not the repository's own, on the host and in the sandbox. */
export const GIT_ENV = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  LC_ALL: 'C',
};

export interface GitOptions {
  /** PATH. */
  path: string;
  cwd: string;
  env?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/**
 * Runs git on the host with nothing of the worker's: no configuration, no credential, no prompt. Resolves to its output. Throws `workspace_failed` that names `doing` and the exit code; never git's own words,
 * which may hold what stands in a URL.
 */
export async function git(doing: string, args: string[], { path, cwd, env, signal }: GitOptions): Promise<string> {
  const { exitCode, failed, timedOut, stdout } = await execa('git', args, {
    cwd,
    // HOME without a .netrc.
    env: { PATH: path, HOME: cwd, ...GIT_ENV, ...env },
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
    timeout: GIT_TIMEOUT_MS,
    forceKillAfterDelay: 1000,
    maxBuffer: 1024 * 1024,
    ...(signal && { cancelSignal: signal }),
  });
  signal?.throwIfAborted();
  if (!failed) return stdout.trim();
  const why = timedOut
    ? `took longer than ${GIT_TIMEOUT_MS / 1000} s`
    : exitCode === undefined
      ? 'could not be run'
      : `ended with exit code ${exitCode}`;
  throw new ValetkeyError('workspace_failed', `${doing} failed: git ${why}.`);
}
