import { createServer } from 'node:http';

/** A server on loopback that an installation lets jobs reach, by a name that no name server knows. */
export interface Site {
  url: string;
  /** `host:port`, as a job names it. */
  target: string;
  /** What a worker's environment says of it. */
  environment: Record<string, string>;
  /** Paths that were asked for. */
  paths: string[];
  close(): Promise<void>;
}

/** `/tarball` holds a megabyte; everything else its own path. */
export async function startSite(): Promise<Site> {
  const paths: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    paths.push(path);
    response.end(path === '/tarball' ? Buffer.alloc(1024 * 1024, 'x') : `page ${path}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const target = `site.test:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    url: `http://${target}`,
    target,
    environment: { VALETKEY_EGRESS_HOSTS: `${target},*.example.org`, VALETKEY_EGRESS_PRIVATE_HOSTS: `${target}=127.0.0.1` },
    paths,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
