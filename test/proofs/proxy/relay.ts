import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a Postgres that can swallow what passes, without an end: a black hole. */
export interface Relay {
  url: string;
  /** Swallows everything from now on, new connections too. */
  swallowAll(): void;
  /** Swallows everything of those connections that listen, from now on. */
  swallowListening(): void;
  /** New connections pass again; those that were swallowed stay so. */
  pass(): void;
  close(): Promise<void>;
}

export async function startRelay(databaseUrl: string): Promise<Relay> {
  const { hostname, port, searchParams } = new URL(databaseUrl);
  const socketDir = searchParams.get('host');
  const links = new Set<{ near: Socket; isListening: boolean; isSwallowed: boolean }>();
  let isWhole = true;
  const server = createServer((near) => {
    const link = { near, isListening: false, isSwallowed: !isWhole };
    const far = socketDir === null ? connect(Number(port), hostname) : connect(`${socketDir}/.s.PGSQL.${port}`);
    links.add(link);
    near
      .on('error', () => {})
      .on('close', () => {
        links.delete(link);
        far.destroy();
      })
      .on('data', (chunk: Buffer) => {
        link.isListening ||= /\blisten\b/i.test(chunk.toString('latin1'));
        if (!link.isSwallowed) far.write(chunk);
      });
    far
      .on('error', () => {})
      .on('close', () => {
        if (!link.isSwallowed) near.destroy();
      })
      .on('data', (chunk: Buffer) => {
        if (!link.isSwallowed) near.write(chunk);
      });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const url = new URL(databaseUrl);
  url.searchParams.delete('host');
  url.host = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    url: url.href,
    swallowAll: () => {
      isWhole = false;
      for (const link of links) link.isSwallowed = true;
    },
    swallowListening: () => {
      for (const link of links) link.isSwallowed ||= link.isListening;
    },
    pass: () => {
      isWhole = true;
    },
    close: async () => {
      server.close();
      for (const { near } of links) near.destroy();
      await once(server, 'close');
    },
  };
}
