import { connect } from 'node:net';
import { join } from 'node:path';

import { loadConfig } from '../../src/config/config.ts';
import { freePort, startServer } from '../../src/dev/process.ts';
import { findExecutable } from '../../src/system/packages.ts';
import { untilReady } from './ready.ts';

export interface Redis {
  url: string;
  pid: number;
  stop(): Promise<void>;
}

/** Starts a Redis in memory on loopback. Throws where `redis-server` is not on PATH. */
export async function startRedis(folder: string): Promise<Redis> {
  const command = await findExecutable('redis-server', loadConfig().path);
  if (command === undefined) throw new Error('There is no redis-server on PATH: install it.');
  const port = await freePort();
  const log = join(folder, 'redis.log');
  const args = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no', '--dir', folder];
  const server = await startServer({ command, args, log });
  try {
    await untilReady({ server, log, name: 'Redis' }, () => accepts(port));
    return { url: `redis://127.0.0.1:${port}/0`, pid: server.pid, stop: () => server.stop() };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

function accepts(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(undefined));
    socket.once('connect', () => socket.end());
  });
}
