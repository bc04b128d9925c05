import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';

import { readLines, type LineHandlers } from '../json-rpc/lines.ts';

/** The longest line of the agent; a tool’s output is in one line. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
/** The agent’s children may hold its output open after it has ended. */
const OUTPUT_DRAIN_MS = 1000;
/** An agent that has closed its output can answer nothing and is killed after this time. */
const CLOSED_OUTPUT_KILL_DELAY_MS = 5000;

export interface AgentHandlers extends LineHandlers {
  /** Receives the agent’s exit code, 128 and more for a signal. It may be called twice. */
  onEnd: (exitCode: number) => void;
}

/** The agent’s process. It starts with the first message for it, so the shim can start before the agent’s files exist. */
export class AgentProcess {
  readonly #command: readonly string[];
  readonly #handlers: AgentHandlers;
  #process: ChildProcessByStdio<Writable, Readable, null> | null = null;

  constructor(command: readonly string[], handlers: AgentHandlers) {
    this.#command = command;
    this.#handlers = handlers;
  }

  /** Escapes U+2028 and U+2029: agents that use Node’s readline would split the line there. */
  send(line: string): void {
    this.#process ??= this.#start();
    this.#process.stdin.write(`${line.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}\n`);
  }

  /** Signals to the agent that nothing more follows. */
  closeInput(): void {
    this.#process?.stdin.end();
  }

  /** Passes a signal on. Where the agent has not started, the shim exits. */
  stop(signal: NodeJS.Signals): void {
    if (this.#process === null) process.exit(exitCodeOf(null, signal));
    this.#process.kill(signal);
  }

  /**
   * Starts the agent. Its standard error is dropped: the server would store it, would stop reading at the first invalid UTF-8, and
   * nobody reads it.
   */
  #start(): ChildProcessByStdio<Writable, Readable, null> {
    const { onEnd } = this.#handlers;
    const [command = '', ...args] = this.#command;
    const started = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    started.on('error', () => process.exit(127));
    started.on('close', (code, signal) => onEnd(exitCodeOf(code, signal)));
    started.on('exit', (code, signal) => void setTimeout(onEnd, OUTPUT_DRAIN_MS, exitCodeOf(code, signal)));
    // A write fails where the agent has ended: `close` follows.
    started.stdin.on('error', () => {});
    started.stdout.on('end', () => void setTimeout(() => started.kill('SIGKILL'), CLOSED_OUTPUT_KILL_DELAY_MS));
    readLines(started.stdout, MAX_LINE_BYTES, this.#handlers);
    return started;
  }
}

/** Returns the exit code that a shell reports. */
function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return signal === null ? (code ?? 1) : 128 + constants.signals[signal];
}
