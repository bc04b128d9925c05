import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A line to a server, which can be cut. */
export interface Switch {
  url: string;
  /** Closes what is open, and each connection that comes. */
  cut(): void;
  restore(): void;
  close(): Promise<void>;
}

/** Starts a line to the server of a URL on a free port. */
export async function startSwitch(url: string): Promise<Switch> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let isCut = false;
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).once('close', () => sockets.delete(socket));
  };
  const server = createServer((socket) => {
    track(socket);
    if (isCut) return void socket.destroy();
    const upstream = connect(Number(port), hostname);
    track(upstream);
    socket.pipe(upstream).pipe(socket);
    socket.once('close', () => upstream.destroy());
    upstream.once('close', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the line has no port');
  const closeAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${address.port}`,
    cut: () => {
      isCut = true;
      closeAll();
    },
    restore: () => {
      isCut = false;
    },
    close: async () => {
      closeAll();
      server.close();
      await once(server, 'close');
    },
  };
}
