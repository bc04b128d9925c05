import { once } from 'node:events';
import { chmod, mkdir, rename, rm, stat } from 'node:fs/promises';
import type { Server } from 'node:http';
import { join } from 'node:path';

const SOCKET = 'gateway.sock';

/** Listens on a port, 0 takes a free one. Returns the base URL. Throws Node's error. */
export async function listenOnPort(server: Server, host: string, port: number): Promise<string> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  return `http://${host.includes(':') ? `[${host}]` : host}:${bound}`;
}

/** A socket in the file system; `remove` leaves alone what another replica has put in its place. */
export interface ListeningSocket {
  path: string;
  remove(): Promise<void>;
}

/**
 * Listens on `gateway.sock` in a directory, for every user of the host: the sandboxes run as another one, and the key is what
 * protects it. The name always leads to a socket that answers: bound under another name and moved over what a replica that
 * was killed left behind. Throws Node's error.
 */
export async function listenOnSocket(server: Server, dir: string): Promise<ListeningSocket> {
  await mkdir(dir, { recursive: true });
  await chmod(dir, 0o755);
  const path = join(dir, SOCKET);
  const fresh = `${path}.${process.pid}`;
  await rm(fresh, { force: true });
  server.listen(fresh);
  await once(server, 'listening');
  await chmod(fresh, 0o666);
  const { ino } = await stat(fresh);
  await rename(fresh, path);
  return {
    path,
    remove: async () => {
      const there = await stat(path).catch(() => null);
      if (there?.ino === ino) await rm(path, { force: true });
    },
  };
}
