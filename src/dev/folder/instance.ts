import { once } from 'node:events';
import { link, rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';

import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { parseJson } from '../../contract/json.ts';

const greetingSchema = z.object({ pid: z.int() });
const ANSWER_MS = 2_000;

/** The claim of one process on a data folder. */
export interface Instance {
  release(): Promise<void>;
}

/**
 * Claims a data folder for this process, by a socket that ends with the process however it ends. Throws `dev_running` where another process
 * has the folder.
 */
export async function claimInstance(folder: string): Promise<Instance> {
  const place = socketOf(folder);
  const own = `${place}.${process.pid}`;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`${JSON.stringify({ pid: process.pid })}\n`);
  });
  await rm(own, { force: true });
  server.listen(own);
  await once(server, 'listening');
  server.unref();
  try {
    await claim(own, place);
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await rm(own, { force: true });
  }
  return {
    async release() {
      await rm(place, { force: true });
      server.close();
    },
  };
}

/** The pid of the process that has the folder; null where none has; undefined where one has it and does not answer within two seconds. */
export async function runningInstance(folder: string): Promise<number | null | undefined> {
  const socket = createConnection(socketOf(folder)).setEncoding('utf8').setTimeout(ANSWER_MS);
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  socket.on('timeout', () => socket.destroy());
  const connected = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  if (!connected) return null;
  socket.on('error', () => {});
  await once(socket, 'close');
  return greetingSchema.safeParse(parseJson(text)).data?.pid;
}

async function claim(own: string, place: string): Promise<void> {
  for (;;) {
    // Unlike a rename it fails where there is one.
    const taken = await link(own, place).then(
      () => false,
      () => true,
    );
    if (!taken) return;
    const folder = join(place, '..');
    const pid = await runningInstance(folder);
    if (pid !== null)
      throw new ValetkeyError(
        'dev_running',
        `Another valetkey dev (${pid === undefined ? 'which does not answer' : `pid ${pid}`}) has ${folder}.`,
      );
    await rm(place, { force: true });
  }
}

function socketOf(folder: string): string {
  return join(folder, 'dev.sock');
}
