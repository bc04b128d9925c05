import { randomUUID } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import { putParts, readFile, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { openArtifacts, type CollectOptions, type WorkspaceFolders } from './collect.ts';
import { GIT_ENV } from './git.ts';
import type { Patch } from './patch.ts';

const MIB = 1024 * 1024;
/** The limit for each part of a checkpoint. */
const MAX_PART_BYTES = 32 * MIB;
const NOTHING = Buffer.alloc(0);

export interface CollectedCheckpoint {
  /** The change of the workspace since its start, for `git apply`. */
  patch: Buffer;
  /** The agent’s own commits and branches since the start; empty where it has none. */
  commits: Buffer;
  /** The agent’s session files; empty where there are none. */
  session: Buffer;
  /** Names of what is not in it, for a person; empty where all is. */
  missing: string[];
}

export interface CheckpointOptions {
  startCommit: string;
  /** Relative to the agent’s home. */
  sessionPaths: readonly string[];
  /** PATH. */
  path: string;
  signal?: AbortSignal | undefined;
}

/** The agent may have changed or removed its repository: then its commits are left out, and its files are in the patch all the same. */
const COLLECT_COMMITS = `cd "$WORKSPACE" || exit 0
head=$(git symbolic-ref -q HEAD || git rev-parse HEAD)
git bundle create -q "$OUT/of-commits/bundle" --all HEAD --not "$START"
if test -f "$OUT/of-commits/bundle" || { test -n "$head" && test "$head" != refs/heads/main; }; then
  echo "$head" > "$OUT/of-commits/head" && git for-each-ref --format='%(objectname) %(refname)' > "$OUT/of-commits/refs" &&
    tar -C "$OUT/of-commits" -cf "$OUT/commits" .
fi`;

/** The exit code of a script that could not pack the session files, and all else. */
const SESSION_LEFT_OUT = 3;

/** Runs in the sandbox. A repository in which git waits without limit, or a session that is packed for minutes, is left out. */
const COLLECT = `mkdir -p "$OUT/of-commits" && touch "$OUT/commits" "$OUT/session" || exit 1
timeout -k 1 30 sh -c "$COLLECT_COMMITS" > /dev/null 2>&1
cd "$HOME_FOLDER" || exit 1
set --
while read -r path; do if test -e "$path"; then set -- "$@" "$path"; fi; done << END
$SESSION_PATHS
END
if test $# -gt 0; then timeout -k 1 45 tar -czf "$OUT/session" -- "$@" || test $? -eq 1 || exit ${SESSION_LEFT_OUT}; fi`;

/** The index is one of its own: what a setup command changed in a file does not matter to the agent’s change of it. */
const RESTORE = `set -eu
cd "$WORKSPACE"
if test -f "$IN/patch"; then
  export GIT_INDEX_FILE="$IN/index"
  git read-tree "$START"
  git apply --cached --binary --whitespace=nowarn "$IN/patch"
  git diff-index -z --cached --no-renames --diff-filter=D --name-only "$START" | xargs -0 -r rm -f --
  git diff-index -z --cached --no-renames --diff-filter=d --name-only "$START" | git checkout-index -f -z --stdin
  unset GIT_INDEX_FILE
fi
restore_commits() {
  mkdir "$IN/of-commits"
  tar -C "$IN/of-commits" -xf "$IN/commits"
  if test -f "$IN/of-commits/bundle"; then git bundle unbundle "$IN/of-commits/bundle" > /dev/null; fi
  while read -r id name; do git update-ref "$name" "$id" || true; done < "$IN/of-commits/refs"
  read -r head < "$IN/of-commits/head"
  case $head in refs/*) git symbolic-ref HEAD "$head" ;; *) git update-ref --no-deref HEAD "$head" ;; esac
  git reset --quiet --mixed
}
if test -f "$IN/commits"; then restore_commits || true; fi
if test -f "$IN/session"; then tar -C "$HOME_FOLDER" -xzf "$IN/session"; fi
rm -rf "$IN"`;

/**
 * Collects the state of a sandbox between two turns. The change of the workspace is computed on the host, as that of the patch; the commits and
 * the session files are packed by the sandbox’s own programs, and nothing on the host looks into them. Throws `workspace_failed`,
 * `sandbox_lost`.
 */
export async function collectCheckpoint(
  sandbox: SandboxConnection,
  folders: WorkspaceFolders,
  { startCommit, sessionPaths, path, signal }: CheckpointOptions,
): Promise<CollectedCheckpoint> {
  const [{ content: patch, omitted }, inside] = await Promise.all([
    collectChange(folders, startCommit, { path, signal, isRunning: true }),
    collectInside(sandbox, startCommit, sessionPaths, signal),
  ]);
  const tooLarge = Object.entries(inside).flatMap(([name, content]) => (content === null ? [`the agent’s ${name}`] : []));
  const { commits, session } = inside;
  return {
    patch,
    commits: commits ?? NOTHING,
    session: session ?? NOTHING,
    missing: [...omitted.map((omission) => omission.path), ...tooLarge],
  };
}

async function collectChange(folders: WorkspaceFolders, startCommit: string, options: CollectOptions): Promise<Patch> {
  const work = await openArtifacts(folders, startCommit, options);
  try {
    return await work.collectPatch(MAX_PART_BYTES);
  } finally {
    await work.close();
  }
}

/** Each is null where it is too large. */
async function collectInside(
  sandbox: SandboxConnection,
  startCommit: string,
  sessionPaths: readonly string[],
  signal?: AbortSignal,
): Promise<{ commits: Buffer | null; session: Buffer | null }> {
  const out = folderIn(sandbox);
  const env = { ...GIT_ENV, ...foldersOf(sandbox), OUT: out, START: startCommit, COLLECT_COMMITS, SESSION_PATHS: sessionPaths.join('\n') };
  try {
    const exitCode = await runScript(sandbox, COLLECT, env, signal);
    if (exitCode !== 0 && exitCode !== SESSION_LEFT_OUT)
      throw new ValetkeyError('workspace_failed', `The sandbox could not collect its state (exit code ${exitCode ?? 'none'}).`);
    const read = async (name: string): Promise<Buffer | null> => readFile(sandbox, `${out}/${name}`, MAX_PART_BYTES, signal);
    const [commits, session] = await Promise.all([read('commits'), exitCode === SESSION_LEFT_OUT ? null : read('session')]);
    return { commits, session };
  } finally {
    await runScript(sandbox, 'rm -rf "$OUT"', { OUT: out }).catch(() => null);
  }
}

export interface RestoreOptions {
  startCommit: string;
  /** Empty: nothing was changed. */
  patch: Buffer;
  /** Empty: there are none. */
  commits: Buffer;
  session: Buffer;
  signal?: AbortSignal | undefined;
}

/**
 * Brings a workspace that is as it started, setup commands included, to the state of a checkpoint, and the agent’s session files to their
 * places. The agent must not run yet. Idempotent; the caller retries. Throws `workspace_failed`, `sandbox_lost`.
 */
export async function restoreInside(
  sandbox: SandboxConnection,
  { startCommit, patch, commits, session, signal }: RestoreOptions,
): Promise<void> {
  const folder = folderIn(sandbox);
  for (const [name, content] of Object.entries({ patch, commits, session }))
    if (content.length > 0) await putParts(sandbox, [content], `${folder}/${name}.`, signal);
  const join = `for name in patch commits session; do if test -f "$IN/$name.000000"; then cat "$IN/$name".* > "$IN/$name"; fi; done\n`;
  const env = { ...GIT_ENV, ...foldersOf(sandbox), IN: folder, START: startCommit };
  const exitCode = await runScript(sandbox, join + RESTORE, env, signal);
  if (exitCode !== 0)
    throw new ValetkeyError('workspace_failed', `The checkpoint could not be restored in the sandbox (exit code ${exitCode ?? 'none'}).`);
}

function folderIn({ paths }: SandboxConnection): string {
  return `${paths.home}/.valetkey/checkpoint-${randomUUID()}`;
}

function foldersOf({ paths }: SandboxConnection): { WORKSPACE: string; HOME_FOLDER: string } {
  return { WORKSPACE: paths.workspace, HOME_FOLDER: paths.home };
}
