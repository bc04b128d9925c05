import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';

import { z } from 'zod';

/** A program of the bench that serves on loopback. */
export interface Child {
  url: string;
  pid: number;
  /** Resolves when it is gone. Idempotent. */
  stop(): Promise<void>;
}

/** Starts a program of this folder that sends its URL once it serves, and ends when it is disconnected. Throws where it ends before. */
export async function startChild(file: string, env: Record<string, string> = {}): Promise<Child> {
  const child = fork(join(import.meta.dirname, file), { env: { PATH: process.env.PATH ?? '', ...env } });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = await firstMessage(child, file);
  const stop = async (): Promise<void> => {
    if (child.connected) child.disconnect();
    await ended;
  };
  return { url, pid: child.pid ?? 0, stop };
}

function firstMessage(child: ChildProcess, file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(z.string().parse(message)));
    child.once('exit', () => reject(new Error(`${file} ended`)));
  });
}
