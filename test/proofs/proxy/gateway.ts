import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { z } from 'zod';

const STOP_MS = 15_000;
const startedSchema = z.object({ url: z.string(), socketPath: z.string() });
const measuredSchema = z.object({ id: z.number(), longestBlockMs: z.number(), rssMb: z.number(), heldMb: z.number() });

/** What a gateway process reports of itself: `heldMb` is what its objects and buffers hold, `rssMb` also what its allocator keeps. */
export type Measured = Omit<z.output<typeof measuredSchema>, 'id'>;

/** A gateway in a process of its own. */
export interface Gateway {
  readonly url: string;
  readonly socketPath: string;
  readonly port: number;
  readonly isRunning: boolean;
  /** Memory after garbage collection, and the longest block of the event loop since the last call. */
  measure(): Promise<Measured>;
  stop(): Promise<void>;
  /** Ends it by SIGKILL, which is no crash. */
  kill(): Promise<void>;
}

export interface GatewayOptions {
  env: Record<string, string>;
  /** MB of the old generation. */
  heapMb?: number;
  /** File descriptors that the process may have. */
  descriptors?: number;
  /** Called where the process ends before `stop`. */
  onCrash: (how: string) => void;
}

/** Starts a gateway. Throws where it ends at once. */
export async function startGateway({ env, heapMb, descriptors, onCrash }: GatewayOptions): Promise<Gateway> {
  const dir = await mkdtemp(join(tmpdir(), 'vk-prove-'));
  const flags = ['--expose-gc', ...(heapMb === undefined ? [] : [`--max-old-space-size=${heapMb}`])];
  const limit = descriptors === undefined ? '' : `ulimit -n ${descriptors}; `;
  const child = spawn('sh', ['-c', `${limit}exec "$0" "$@"`, process.execPath, ...flags, join(import.meta.dirname, 'replica.ts')], {
    env: { PATH: process.env.PATH ?? '', VALETKEY_STATE_DIR: dir, VALETKEY_GATEWAY_PORT: '0', VALETKEY_LOG_LEVEL: 'error', ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const { url, socketPath } = await firstMessage(child);
  const waiting = new Map<number, (measured: Measured | null) => void>();
  let isStopping = false;
  let asked = 0;
  child.on('message', (message) => {
    const { id, ...measured } = measuredSchema.parse(message);
    waiting.get(id)?.(measured);
    waiting.delete(id);
  });
  child.once('exit', (code, signal) => {
    for (const end of waiting.values()) end(null);
    if (!isStopping) onCrash(`exit ${signal ?? code}`);
  });
  return {
    url,
    socketPath,
    port: Number(new URL(url).port),
    get isRunning() {
      return child.exitCode === null && child.signalCode === null;
    },
    measure: async () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error('the gateway has ended');
      const id = (asked += 1);
      const measured = await new Promise<Measured | null>((resolve) => {
        waiting.set(id, resolve);
        child.send(id, (error) => error !== null && resolve(null));
      });
      if (measured === null) throw new Error('the gateway has ended');
      return measured;
    },
    kill: async () => {
      isStopping = true;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    stop: async () => {
      isStopping = true;
      if (child.exitCode === null && child.signalCode === null) {
        const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
        child.kill('SIGTERM');
        await once(child, 'exit');
        clearTimeout(timer);
      }
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function firstMessage(child: ChildProcess): Promise<z.output<typeof startedSchema>> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('the gateway does not start'));
    child.once('exit', ended);
    child.once('message', (message) => {
      child.off('exit', ended);
      resolve(startedSchema.parse(message));
    });
  });
}
