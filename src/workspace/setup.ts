import { randomUUID } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import { readFile, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';

/** The part of a command’s output that is reported while the command runs; after it, only the end is reported. */
const MAX_REPORTED_BYTES = 64 * 1024;
const MAX_PIECE_BYTES = 8 * 1024;
const MAX_END_BYTES = 4 * 1024;

/** The progress of the commands, in their order. `command` counts from 1. */
export type SetupProgress =
  | { type: 'started'; command: number; text: string }
  | { type: 'output'; command: number; offset: number; text: string }
  | { type: 'ended'; command: number; exitCode: number };

export interface SetupOptions {
  commands: readonly string[];
  /** The deadline of all commands together, in epoch ms. */
  untilMs: number;
  onProgress: (progress: SetupProgress) => Promise<void>;
  signal: AbortSignal;
}

const DIR = 'DIR="$HOME_FOLDER/.valetkey/setup"; mkdir -p "$DIR"';

/**
 * Starts the command unless it has ended or still runs. It gets a session of its own, so that all its processes can be killed. The script of
 * a worker that was killed may run beside that of the next: the lock lets one of them start the command.
 */
const START_SCRIPT = `set -eu
${DIR}
exec 9> "$DIR/lock"
flock 9
test ! -f "$DIR/$N.exit" || exit 0
if test -f "$DIR/$N.pid" && kill -s 0 -- "-$(cat "$DIR/$N.pid")" 2> /dev/null; then exit 0; fi
rm -f "$DIR/$N.pid"
set -- "$COMMAND" "$DIR/$N" "$WORKSPACE"
unset COMMAND N DIR HOME_FOLDER WORKSPACE PIECE XDG_DATA_HOME
setsid sh -c 'echo $$ > "$2.part" && mv "$2.part" "$2.pid"
cd "$3"
shell=sh; command -v bash > /dev/null && shell=bash
"$shell" -c "$1" < /dev/null
echo $? > "$2.part" && mv "$2.part" "$2.exit"' setup "$@" > "$2.log" 2>&1 < /dev/null 9>&- &
until test -f "$2.pid"; do sleep 0.02; done`;

/** Waits for more output or for the end, and writes at most MOST bytes of the output to a file of this attempt’s own. */
const WAIT_SCRIPT = `set -eu
${DIR}
turns=0
while test ! -f "$DIR/$N.exit" && test $turns -lt "$TURNS"; do
  turns=$((turns + 1))
  sleep 0.2
  kill -s 0 -- "-$(cat "$DIR/$N.pid")" 2> /dev/null || test -f "$DIR/$N.exit" || echo 137 > "$DIR/$N.exit"
  test $turns -lt 10 || test "$(wc -c < "$DIR/$N.log")" -le "$OFFSET" || break
done
tail -c +"$((OFFSET + 1))" "$DIR/$N.log" | head -c "$MOST" > "$DIR/$PIECE"
if test -f "$DIR/$N.exit"; then cp "$DIR/$N.exit" "$DIR/$PIECE.code"; wc -c < "$DIR/$N.log" >> "$DIR/$PIECE.code"; else echo running > "$DIR/$PIECE.code"; fi`;

const READ_END_SCRIPT = `${DIR}; tail -c "$MOST" "$DIR/$N.log" > "$DIR/$PIECE"`;
const KILL_SCRIPT = `${DIR}; kill -s KILL -- "-$(cat "$DIR/$N.pid")" 2> /dev/null; true`;

/**
 * Runs commands in the workspace, one after the other, before an agent starts. Idempotent: a command that has ended is not run
 * again, one that still runs is waited for, and one that was interrupted is run again. Throws `setup_failed`, which holds the
 * number of the command and its exit code, but none of its output; `sandbox_lost`.
 */
export async function runSetup(sandbox: SandboxConnection, { commands, untilMs, onProgress, signal }: SetupOptions): Promise<void> {
  const { home, workspace } = sandbox.paths;
  const piece = `piece-${randomUUID()}`;
  for (const [index, text] of commands.entries()) {
    const command = index + 1;
    const env = { HOME_FOLDER: home, WORKSPACE: workspace, N: String(command), PIECE: piece };
    await onProgress({ type: 'started', command, text });
    await requireSuccess(sandbox, START_SCRIPT, { ...env, COMMAND: text }, signal);
    const exitCode = await followOutput(sandbox, { command, env, untilMs, onProgress, signal });
    if (exitCode === null) {
      await runScript(sandbox, KILL_SCRIPT, env, signal);
      throw new ValetkeyError('setup_failed', `Setup command ${command} did not end within the time limit (setupTimeout).`);
    }
    await onProgress({ type: 'ended', command, exitCode });
    if (exitCode !== 0) throw new ValetkeyError('setup_failed', `Setup command ${command} ended with exit code ${exitCode}.`);
  }
}

interface FollowOptions extends Omit<SetupOptions, 'commands'> {
  command: number;
  env: Record<string, string> & { PIECE: string };
}

/** Reports the output of a command until it ends. Resolves to its exit code; null where the deadline has passed. */
async function followOutput(
  sandbox: SandboxConnection,
  { command, env, untilMs, onProgress, signal }: FollowOptions,
): Promise<number | null> {
  const folder = `${sandbox.paths.home}/.valetkey/setup`;
  const decoder = new TextDecoder();
  const read = async (name: string): Promise<Buffer> =>
    (await readFile(sandbox, `${folder}/${name}`, MAX_PIECE_BYTES, signal)) ?? Buffer.alloc(0);
  let offset = 0;
  for (;;) {
    const most = Math.min(MAX_PIECE_BYTES, MAX_REPORTED_BYTES - offset);
    const turns = Math.max(1, Math.min(100, Math.ceil((untilMs - Date.now()) / 200)));
    // The output has been reported up to its limit: wait for the end alone.
    const from = most > 0 ? offset : Number.MAX_SAFE_INTEGER - 1;
    await requireSuccess(sandbox, WAIT_SCRIPT, { ...env, OFFSET: String(from), MOST: String(most), TURNS: String(turns) }, signal);
    const piece = await read(env.PIECE);
    if (piece.length > 0) {
      const text = decoder.decode(piece, { stream: true });
      if (text !== '') await onProgress({ type: 'output', command, offset, text });
      offset += piece.length;
    }
    const [code, length] = (await read(`${env.PIECE}.code`)).toString().trim().split(/\s+/);
    if (code !== 'running' && (piece.length === 0 || offset >= Number(length) || offset >= MAX_REPORTED_BYTES)) {
      if (Number(length) > offset)
        await reportEnd(sandbox, { command, env, onProgress, signal, offset, skipped: Number(length) - offset, read });
      return Number(code);
    }
    if (code === 'running' && Date.now() >= untilMs) return null;
  }
}

interface EndOptions extends Pick<FollowOptions, 'command' | 'env' | 'onProgress' | 'signal'> {
  offset: number;
  skipped: number;
  read: (name: string) => Promise<Buffer>;
}

/** Reports the end of an output that is longer than what was reported. */
async function reportEnd(
  sandbox: SandboxConnection,
  { command, env, onProgress, signal, offset, skipped, read }: EndOptions,
): Promise<void> {
  await requireSuccess(sandbox, READ_END_SCRIPT, { ...env, MOST: String(Math.min(MAX_END_BYTES, skipped)) }, signal);
  const text = (await read(env.PIECE)).toString();
  const left = Math.max(0, skipped - MAX_END_BYTES);
  await onProgress({ type: 'output', command, offset, text: left === 0 ? text : `\n[… ${left} bytes left out …]\n${text}` });
}

async function requireSuccess(sandbox: SandboxConnection, script: string, env: Record<string, string>, signal: AbortSignal): Promise<void> {
  const exitCode = await runScript(sandbox, script, env, signal);
  if (exitCode !== 0) throw new ValetkeyError('sandbox_lost', `The sandbox could not run a command (exit code ${exitCode ?? 'none'}).`);
}
