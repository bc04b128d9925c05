import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** One that cannot even start would be started for ever. */
const MAX_FAILED_STARTS = 3;

/** Keeps one worker process running: where it ends, whatever ended it, the next one is started at once. */
export class Supervisor {
  #args: string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #log: number;
  readonly #failed = Promise.withResolvers<never>();
  #child: ChildProcess | null = null;
  #ready = Promise.withResolvers<void>();
  #stopping = false;
  #failedStarts = 0;
  /** Processes that were killed, by themselves or by `kill`. */
  kills = 0;
  #ended = Promise.withResolvers<void>();

  constructor(args: string[], env: NodeJS.ProcessEnv, log: number) {
    this.#args = args;
    this.#env = env;
    this.#log = log;
    this.#failed.promise.catch(() => {});
  }

  /** Never resolves; rejects when workers do not start any more. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  async start(): Promise<void> {
    this.#stopping = false;
    this.#run();
    await this.ready();
  }

  /** Resolves when the process that is there now, or the next one, polls. */
  async ready(): Promise<void> {
    await Promise.race([this.#ready.promise, this.failed]);
  }

  /** Resolves with the end of the process that is there now. */
  async ended(): Promise<void> {
    await Promise.race([this.#ended.promise, this.failed]);
  }

  /** Of the process that is there now. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** The program of the next process and of those after it: its other arguments stay. */
  use(program: string): void {
    this.#args = [program, ...this.#args.slice(1)];
  }

  /** Kills the process that is there now, and starts no other before `start`. */
  async halt(): Promise<void> {
    this.#stopping = true;
    const ended = this.#ended.promise;
    this.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  }

  #run(): void {
    const child = spawn(process.execPath, this.#args, { env: this.#env, stdio: ['pipe', 'pipe', this.#log] });
    this.#child = child;
    let isReady = false;
    child.stdin?.on('error', () => {});
    child.stdout?.once('data', () => {
      isReady = true;
      this.#failedStarts = 0;
      this.#ready.resolve();
    });
    child.once('exit', (code, signal) => {
      if (signal === 'SIGKILL') this.kills += 1;
      this.#failedStarts += isReady || signal !== null ? 0 : 1;
      this.#ended.resolve();
      this.#ended = Promise.withResolvers();
      if (isReady) this.#ready = Promise.withResolvers();
      if (this.#stopping) return;
      if (this.#failedStarts < MAX_FAILED_STARTS) this.#run();
      else this.#failed.reject(new Error(`workers do not start: exit code ${String(code)}`));
    });
  }
}
