import { execa } from 'execa';
import getPort from 'get-port';

import { loadConfig } from '../config/config.ts';
import { findExecutable } from '../system/packages.ts';

export interface ServerProcess {
  readonly pid: number;
  /** Resolves when the process is gone, whatever ended it. */
  readonly exited: Promise<void>;
  readonly running: boolean;
  /** Calls back when the process ends from now on, unless it is stopped. */
  onUnexpectedExit(callback: (() => void) | undefined): void;
  /** Interrupts it, kills it after ten seconds, and resolves when it is gone. */
  stop(): Promise<void>;
}

export interface ServerCommand {
  command: string;
  args: string[];
  /** Environment; nothing is inherited. */
  env?: Record<string, string>;
  /** Appended to; without it the output is dropped. */
  log?: string | undefined;
  /** Uid and gid to drop to. */
  user?: number | undefined;
}

/**
 * Starts a server that ends with this process, on Linux also when this process is killed. It has a process group of its own, so
 * that Ctrl-C on a terminal reaches this process alone, which then ends things in their order.
 */
export async function startServer({ command, args, env = {}, log, user }: ServerCommand): Promise<ServerProcess> {
  const output = log === undefined ? 'ignore' : { file: log, append: true };
  const wrapper = await wrapperFor(user);
  const [file = command, ...rest] = [...wrapper, command, ...args];
  const child = execa(file, rest, {
    cwd: '/',
    env,
    extendEnv: false,
    detached: true,
    stdin: 'ignore',
    stdout: output,
    stderr: output,
    buffer: false,
    reject: false,
    killSignal: 'SIGINT',
    forceKillAfterDelay: 10_000,
    ...(user !== undefined && wrapper.length === 0 && { uid: user, gid: user }),
  });
  const kill = (): void => void child.kill();
  process.once('exit', kill);
  let running = true;
  let onExit: (() => void) | undefined;
  const exited = child.then(() => {
    running = false;
    process.off('exit', kill);
    onExit?.();
  });
  if (child.pid === undefined) throw new Error(`${command} cannot be started`);
  return {
    pid: child.pid,
    exited,
    get running() {
      return running;
    },
    onUnexpectedExit(callback) {
      onExit = callback;
    },
    async stop() {
      onExit = undefined;
      if (running) kill();
      await exited;
    },
  };
}

const PORTS_TO_TRY = 5;

/**
 * Starts a server on a free port of loopback. `serve` resolves to undefined where the server does not come up, since another
 * process can take the port between our look and the server's own: then another port is tried, a few times.
 */
export async function onFreePort<T>(serve: (port: number) => Promise<T | undefined>): Promise<{ server: T; port: number } | undefined> {
  for (let tries = 0; tries < PORTS_TO_TRY; tries++) {
    const port = await freePort();
    const server = await serve(port);
    if (server !== undefined) return { server, port };
  }
  return undefined;
}

/** The same on one port only. */
export async function onPort<T>(
  port: number,
  serve: (port: number) => Promise<T | undefined>,
): Promise<{ server: T; port: number } | undefined> {
  const server = await serve(port);
  return server === undefined ? undefined : { server, port };
}

/** A free port of loopback. Below 32768, since Linux hands out the ports above to clients, which could take it in the meantime. */
export function freePort(): Promise<number> {
  const candidates = Array.from({ length: 50 }, () => 12_000 + Math.floor(Math.random() * 20_000));
  return getPort({ port: candidates, host: '127.0.0.1' });
}

/** Calls `attempt` until it gives a value or `giveUp` says so, which gives undefined. */
export async function poll<T>(attempt: () => Promise<T | undefined>, giveUp: () => boolean): Promise<T | undefined> {
  while (!giveUp()) {
    const value = await attempt();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return undefined;
}

/** `setpriv` of util-linux (busybox has one that cannot do this) makes the kernel end a process whose parent is gone. */
async function wrapperFor(user: number | undefined): Promise<string[]> {
  const setpriv = await findExecutable('setpriv', loadConfig().path);
  if (setpriv === undefined) return [];
  const args = ['--pdeathsig', 'INT'];
  if (user !== undefined) args.push('--reuid', String(user), '--regid', String(user), '--clear-groups');
  const { failed } = await execa(setpriv, [...args, '/bin/true'], { reject: false, stdio: 'ignore' });
  return failed ? [] : [setpriv, ...args];
}
