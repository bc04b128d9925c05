import { once } from 'node:events';
import { chmod, mkdir, rename, rm, stat } from 'node:fs/promises';
import type { Server } from 'node:http';
import { join } from 'node:path';

const SOCKET = 'gateway.sock';

/** Listens on a port (0 chooses a free one), and resolves to the base URL. Throws Node's error. */
export async function listenOnPort(server: Server, host: string, port: number): Promise<string> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  return `http://${host.includes(':') ? `[${host}]` : host}:${bound}`;
}

/** A unix socket; `remove` keeps a socket that another replica has put in its place. */
export interface ListeningSocket {
  path: string;
  remove(): Promise<void>;
}

/**
 * Listens on `gateway.sock` in a directory. Every user of the host may connect: the sandboxes run as another user, and only a key gives
 * access. The socket is bound under a temporary name and moved over the socket that a killed replica left, so the name always leads to a
 * socket that answers. Throws Node's error.
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
