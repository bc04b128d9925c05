import { execa } from 'execa';

import { ValetkeyError } from '../job/errors.ts';
import type { Secret } from '../secrets/secret.ts';

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
  credential?: GitCredential | undefined;
}

/** For one server and no other: git asks for it by scheme, host and port, and with a credential it follows no redirect. */
export interface GitCredential {
  origin: string;
  /** A token, or `user:token`. */
  token: Secret;
}

/** For a token alone: GitHub wants this one with the tokens of an app; with other tokens GitHub, GitLab and Gitea take any. */
const TOKEN_USER = 'x-access-token';
/** What git runs when a server asks for a credential. */
const FROM_DESCRIPTOR = '!f() { test "$1" = get && cat <&3; }; f';

/**
 * Runs git on the host with nothing of the worker's: no configuration, no credential but the given one, no prompt. Resolves to
 * its output. Throws `workspace_failed` that names `doing` and the exit code; never git's own words, which may hold what stands
 * in a URL.
 *
 * The credential comes on a descriptor, a socket that only a server's question makes git read: an argument shows to every user
 * of the host, a variable in the environment of each process that git starts and in what a crash leaves, a file lasts, and a
 * header in the configuration would go to whatever server git talks to.
 */
export async function git(doing: string, args: string[], { path, cwd, env, signal, credential }: GitOptions): Promise<string> {
  const { exitCode, failed, timedOut, stdout } = await execa('git', [...credentialOptions(credential), ...args], {
    cwd,
    // HOME without a .netrc.
    env: { PATH: path, HOME: cwd, ...GIT_ENV, ...env },
    extendEnv: false,
    stdio: ['ignore', 'pipe', 'pipe', ...(credential === undefined ? [] : [credentialLines(credential)])],
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

function credentialOptions(credential: GitCredential | undefined): string[] {
  if (credential === undefined) return [];
  return ['-c', 'http.followRedirects=false', '-c', `credential.${credential.origin}.helper=${FROM_DESCRIPTOR}`];
}

/** As git reads a credential. */
function credentialLines({ token }: GitCredential): Uint8Array {
  const text = token.reveal();
  if (!/^[!-~]+$/.test(text)) throw new ValetkeyError('workspace_failed', 'The git token is no single word of ASCII.');
  const colon = text.indexOf(':');
  const [user, password] = colon === -1 ? [TOKEN_USER, text] : [text.slice(0, colon), text.slice(colon + 1)];
  return new TextEncoder().encode(`username=${user}\npassword=${password}\n`);
}
