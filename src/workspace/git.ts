import { relative } from 'node:path';
import { Duplex } from 'node:stream';

import { execa } from 'execa';

import { ValetkeyError } from '../contract/errors.ts';
import type { Secret } from '../secrets/secret.ts';
import { decideGitFailure } from './decide-git-failure.ts';

const GIT_TIMEOUT_MS = 300_000;
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/** Keeps git from configuration that is not the repository's own, on the host and in the sandbox. */
export const GIT_ENV = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  // What a source lacks is not fetched from where that came from: it would run what the source's configuration names.
  GIT_NO_LAZY_FETCH: '1',
  LC_ALL: 'C',
};

/** The author of the commits that a worker makes. */
export const COMMITTER = {
  GIT_AUTHOR_NAME: 'valetkey',
  GIT_AUTHOR_EMAIL: 'valetkey@localhost',
  GIT_COMMITTER_NAME: 'valetkey',
  GIT_COMMITTER_EMAIL: 'valetkey@localhost',
};

export interface GitOptions {
  /** PATH. */
  path: string;
  cwd: string;
  env?: Record<string, string>;
  signal?: AbortSignal | undefined;
  credential?: GitCredential | undefined;
  /** Standard input. */
  input?: Uint8Array | AsyncIterable<Uint8Array>;
  /** Where standard output goes; default: to the caller. */
  outputFile?: string;
  /** Exit codes that are no failure, beside 0. */
  accept?: readonly number[];
}

/** For one server and no other: git asks for it by scheme, host and port, and with a credential it follows no redirect. */
export interface GitCredential {
  origin: string;
  /** A token, or `user:token`. */
  token: Secret;
}

/** For a token alone: GitHub wants this one with the tokens of an app; with other tokens GitHub, GitLab and Gitea take any. */
const TOKEN_USER = 'x-access-token';
/** What git runs when a server asks for a credential: it asks for it in turn, since a push asks once more to negotiate. */
const FROM_DESCRIPTOR = `!f() { test "$1" = get && echo >&3 && read -r user <&3 && read -r password <&3 && printf '%s\\n' "$user" "$password"; }; f`;

/**
 * Runs git on the host with nothing of the worker's: no configuration, no credential but the given one, no prompt. Resolves to
 * its output without the white space around it. Throws as `gitBytes`.
 */
export async function git(doing: string, args: string[], options: GitOptions): Promise<string> {
  return (await gitBytes(doing, args, options)).toString().trim();
}

/**
 * Creates a bare repository where there is none. `folder` is in `cwd`: git would create missing folders above an absolute path, also those
 * of a sandbox that was removed meanwhile.
 */
export async function initBare(folder: string, options: GitOptions, flags: string[] = []): Promise<void> {
  const name = relative(options.cwd, folder);
  await git('Preparing the workspace', ['init', '--quiet', '--bare', '--template=', ...flags, name], options);
}

/**
 * Runs git and resolves to the bytes of its output. Throws the code of the class of failure (`git_not_found`, `git_unauthorized`, …, else
 * `workspace_failed`), which names `doing` and the reason in words of ours; never git's own, which may hold parts of a URL.
 *
 * The credential comes on a descriptor, a socket to which it is written only when a server asks git for it: an argument shows to every user
 * of the host, a variable in the environment of each process that git starts and in what a crash leaves, a file lasts, and a
 * header in the configuration would go to whatever server git talks to.
 */
export async function gitBytes(doing: string, args: string[], options: GitOptions): Promise<Buffer> {
  const { path, cwd, env, signal, credential, input, outputFile, accept = [] } = options;
  const stdin = input === undefined ? 'ignore' : input instanceof Uint8Array ? 'pipe' : input;
  const lines = credential === undefined ? null : credentialLines(credential);
  const running = execa('git', [...credentialOptions(credential), ...args], {
    cwd,
    // HOME without a .netrc.
    env: { PATH: path, HOME: cwd, ...GIT_ENV, ...env },
    extendEnv: false,
    stdio: [stdin, outputFile === undefined ? 'pipe' : { file: outputFile }, 'pipe', ...(lines === null ? [] : (['pipe'] as const))],
    ...(input instanceof Uint8Array ? { input } : {}),
    reject: false,
    timeout: GIT_TIMEOUT_MS,
    forceKillAfterDelay: 1000,
    encoding: 'buffer',
    maxBuffer: MAX_OUTPUT_BYTES,
    ...(signal && { cancelSignal: signal }),
  });
  if (lines !== null) answerWith(running.stdio[3], lines);
  const { exitCode, signal: endedBy, failed, timedOut, stdout, stderr } = await running;
  signal?.throwIfAborted();
  if (!failed || (exitCode !== undefined && accept.includes(exitCode))) return Buffer.from(stdout ?? []);
  const { code, reason } = decideGitFailure({ exitCode, signal: endedBy, timedOut, stderr: Buffer.from(stderr ?? []).toString() });
  throw new ValetkeyError(code, `${doing} failed: ${reason}.`);
}

function credentialOptions(credential: GitCredential | undefined): string[] {
  if (credential === undefined) return [];
  return ['-c', 'http.followRedirects=false', '-c', `credential.${credential.origin}.helper=${FROM_DESCRIPTOR}`];
}

/** Each question is one byte. */
function answerWith(descriptor: unknown, lines: string): void {
  if (!(descriptor instanceof Duplex)) return;
  descriptor.on('data', (questions: Uint8Array) => void descriptor.write(lines.repeat(questions.length)));
  // A git that ends before it has read the answer.
  descriptor.on('error', () => {});
}

/** As git reads a credential. */
function credentialLines({ token }: GitCredential): string {
  const text = token.reveal();
  if (!/^[!-~]+$/.test(text)) throw new ValetkeyError('git_unauthorized', 'The token for the git server is not a single word of ASCII.');
  const colon = text.indexOf(':');
  const [user, password] = colon === -1 ? [TOKEN_USER, text] : [text.slice(0, colon), text.slice(colon + 1)];
  return `username=${user}\npassword=${password}\n`;
}
