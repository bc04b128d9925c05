import { ValetkeyError } from '../contract/errors.ts';
import { readFile, runScript } from '../sandboxes/api.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';

/** Bytes of a command's output that are reported while it runs; after that only its end is. */
const MAX_REPORTED_BYTES = 64 * 1024;
const PIECE_BYTES = 8 * 1024;
const LAST_BYTES = 4 * 1024;

/** What is reported of the commands, in their order. `command` counts from 1. */
export type SetupProgress =
  | { type: 'started'; command: number; text: string }
  | { type: 'output'; command: number; offset: number; text: string }
  | { type: 'ended'; command: number; exitCode: number };

export interface SetupOptions {
  commands: readonly string[];
  /** Epoch ms. */
  untilMs: number;
  onProgress: (progress: SetupProgress) => Promise<void>;
  signal: AbortSignal;
}

const DIR = 'DIR="$HOME_FOLDER/.valetkey/setup"; mkdir -p "$DIR"';

/** Starts the command unless it has ended or runs still. It has a session of its own, so that it can be ended whole. */
const START = `set -eu
${DIR}
test ! -f "$DIR/$N.exit" || exit 0
if test -f "$DIR/$N.pid" && kill -s 0 -- "-$(cat "$DIR/$N.pid")" 2> /dev/null; then exit 0; fi
rm -f "$DIR/$N.pid"
set -- "$COMMAND" "$DIR/$N" "$WORKSPACE"
unset COMMAND N DIR HOME_FOLDER WORKSPACE XDG_DATA_HOME
setsid sh -c 'echo $$ > "$2.part" && mv "$2.part" "$2.pid"
cd "$3"
shell=sh; command -v bash > /dev/null && shell=bash
"$shell" -c "$1" < /dev/null
echo $? > "$2.part" && mv "$2.part" "$2.exit"' setup "$@" > "$2.log" 2>&1 < /dev/null &
until test -f "$2.pid"; do sleep 0.02; done`;

/** Waits for more output or the end; the output goes into a file of its own, as much as is asked for. */
const WAIT = `set -eu
${DIR}
turns=0
while test ! -f "$DIR/$N.exit" && test $turns -lt "$TURNS"; do
  turns=$((turns + 1))
  sleep 0.2
  kill -s 0 -- "-$(cat "$DIR/$N.pid")" 2> /dev/null || test -f "$DIR/$N.exit" || echo 137 > "$DIR/$N.exit"
  test $turns -lt 10 || test "$(wc -c < "$DIR/$N.log")" -le "$OFFSET" || break
done
tail -c +"$((OFFSET + 1))" "$DIR/$N.log" | head -c "$MOST" > "$DIR/piece"
if test -f "$DIR/$N.exit"; then cp "$DIR/$N.exit" "$DIR/code"; wc -c < "$DIR/$N.log" >> "$DIR/code"; else echo running > "$DIR/code"; fi`;

const LAST = `${DIR}; tail -c "$MOST" "$DIR/$N.log" > "$DIR/piece"`;
const KILL = `${DIR}; kill -s KILL -- "-$(cat "$DIR/$N.pid")" 2> /dev/null; true`;

/**
 * Runs commands in the workspace, one after the other, before any agent is there. Idempotent: a command that has ended is not run
 * again, one that still runs is waited for, one that was cut off is run anew. Throws `setup_failed`, which names the command's
 * number and its exit code and holds nothing of its output; `sandbox_lost`.
 */
export async function runSetup(sandbox: SandboxConnection, { commands, untilMs, onProgress, signal }: SetupOptions): Promise<void> {
  const { home, workspace } = sandbox.paths;
  for (const [index, text] of commands.entries()) {
    const command = index + 1;
    const env = { HOME_FOLDER: home, WORKSPACE: workspace, N: String(command) };
    await onProgress({ type: 'started', command, text });
    await mustRun(sandbox, START, { ...env, COMMAND: text }, signal);
    const exitCode = await follow(sandbox, { command, env, untilMs, onProgress, signal });
    if (exitCode === null) {
      await runScript(sandbox, KILL, env, signal);
      throw new ValetkeyError('setup_failed', `Setup command ${command} did not end within setupTimeout.`);
    }
    await onProgress({ type: 'ended', command, exitCode });
    if (exitCode !== 0) throw new ValetkeyError('setup_failed', `Setup command ${command} ended with exit code ${exitCode}.`);
  }
}

interface Following extends Omit<SetupOptions, 'commands'> {
  command: number;
  env: Record<string, string>;
}

/** Tells the output of a command until it ends. Resolves to its exit code; null: its time is over. */
async function follow(sandbox: SandboxConnection, { command, env, untilMs, onProgress, signal }: Following): Promise<number | null> {
  const folder = `${sandbox.paths.home}/.valetkey/setup`;
  const decoder = new TextDecoder();
  const read = async (name: string): Promise<Buffer> =>
    (await readFile(sandbox, `${folder}/${name}`, PIECE_BYTES, signal)) ?? Buffer.alloc(0);
  let offset = 0;
  for (;;) {
    const most = Math.min(PIECE_BYTES, MAX_REPORTED_BYTES - offset);
    const turns = Math.max(1, Math.min(100, Math.ceil((untilMs - Date.now()) / 200)));
    // Nothing is left to be reported: wait for the end alone.
    const from = most > 0 ? offset : Number.MAX_SAFE_INTEGER - 1;
    await mustRun(sandbox, WAIT, { ...env, OFFSET: String(from), MOST: String(most), TURNS: String(turns) }, signal);
    const piece = await read('piece');
    if (piece.length > 0) {
      const text = decoder.decode(piece, { stream: true });
      if (text !== '') await onProgress({ type: 'output', command, offset, text });
      offset += piece.length;
    }
    const [code, length] = (await read('code')).toString().trim().split(/\s+/);
    if (code !== 'running' && (piece.length === 0 || offset >= Number(length) || offset >= MAX_REPORTED_BYTES)) {
      if (Number(length) > offset)
        await reportEnd(sandbox, { command, env, onProgress, signal, offset, skipped: Number(length) - offset, read });
      return Number(code);
    }
    if (code === 'running' && Date.now() >= untilMs) return null;
  }
}

interface Ending extends Pick<Following, 'command' | 'env' | 'onProgress' | 'signal'> {
  offset: number;
  skipped: number;
  read: (name: string) => Promise<Buffer>;
}

/** The last lines of an output that is longer than what was reported. */
async function reportEnd(sandbox: SandboxConnection, { command, env, onProgress, signal, offset, skipped, read }: Ending): Promise<void> {
  await mustRun(sandbox, LAST, { ...env, MOST: String(Math.min(LAST_BYTES, skipped)) }, signal);
  const text = (await read('piece')).toString();
  const left = Math.max(0, skipped - LAST_BYTES);
  await onProgress({ type: 'output', command, offset, text: left === 0 ? text : `\n[… ${left} bytes left out …]\n${text}` });
}

async function mustRun(sandbox: SandboxConnection, script: string, env: Record<string, string>, signal: AbortSignal): Promise<void> {
  const exitCode = await runScript(sandbox, script, env, signal);
  if (exitCode !== 0) throw new ValetkeyError('sandbox_lost', `The sandbox did not run a command (exit code ${exitCode ?? 'none'}).`);
}
