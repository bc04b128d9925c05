import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';

/** A proxy of a company: by CONNECT, and by whole URLs for http. What lies behind it is on loopback, under other names. */
export interface ConnectProxy {
  /** With a user and a password. */
  url: string;
  /** What was asked for, as host and port. */
  asked: string[];
  close(): Promise<void>;
}

const USER = 'worker:secret-of-the-proxy';

/** `ports`: the port on loopback of each host. */
export async function startConnectProxy(ports: Readonly<Record<string, number>>): Promise<ConnectProxy> {
  const asked: string[] = [];
  const isAllowed = (authorization: string | undefined): boolean => authorization === `Basic ${Buffer.from(USER).toString('base64')}`;
  const server = createServer((req, res) => {
    const { host, hostname, pathname } = new URL(req.url ?? '');
    asked.push(host);
    const port = ports[hostname];
    if (port === undefined || !isAllowed(req.headers['proxy-authorization'])) return void res.writeHead(407).end();
    const up = request({ host: '127.0.0.1', port, path: pathname, method: req.method, headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    up.once('error', () => res.destroy());
    req.pipe(up);
    return undefined;
  });
  server.on('connect', (req, near) => {
    const [host = ''] = (req.url ?? '').split(':');
    asked.push(req.url ?? '');
    const port = ports[host];
    near.on('error', () => {});
    if (port === undefined || !isAllowed(req.headers['proxy-authorization']))
      return void near.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
      );
    const far = connect(port, '127.0.0.1', () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n');
      far.pipe(near).pipe(far);
    });
    far.on('error', () => near.destroy());
    far.once('close', () => near.destroy());
    near.once('close', () => far.destroy());
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://${USER}@127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    asked,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
