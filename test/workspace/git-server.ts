import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

import type { Certificate } from '../sandboxes/egress/certificate.ts';

export interface GitServer {
  /** Of the repository that it serves: one commit of `a.txt`. */
  url: string;
  /** Where the repository is on this host. */
  folder: string;
  /** What each request said as its authorization, null for nothing, in order. */
  authorizations: (string | null)[];
  close(): Promise<void>;
}

export interface GitServerOptions {
  /** What a request must say; default: nothing is asked for. */
  authorization?: string;
  /** Every request that may pass is sent on to this server. */
  redirectTo?: string;
  /** Called while a client waits for the pack. */
  onPack?: () => Promise<void>;
  /** Called with each pushed pack, in bytes, before the client hears of it; resolves to false where it does not hear of it. */
  onPushed?: (bytes: number) => Promise<boolean>;
  /** Default: http. */
  certificate?: Certificate;
}

/** Serves a repository by git's own program for it, on loopback. */
export async function startGitServer({
  authorization,
  redirectTo,
  onPack,
  onPushed,
  certificate,
}: GitServerOptions = {}): Promise<GitServer> {
  const root = await mkdtemp(join(tmpdir(), 'valetkey-git-'));
  await execa('sh', ['-euc', REPOSITORY], { cwd: root });
  const authorizations: (string | null)[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const said = request.headers.authorization ?? null;
    authorizations.push(said);
    if (authorization !== undefined && said !== authorization) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
    } else if (redirectTo !== undefined) {
      response.writeHead(302, { location: new URL(request.url ?? '/', redirectTo).href }).end();
    } else {
      if (request.method === 'POST') await onPack?.();
      const isPush = request.method === 'POST' && request.url?.endsWith('/git-receive-pack') === true;
      let bytes = 0;
      request.on('data', (part: Buffer) => void (bytes += part.length));
      await runBackend(root, request, response, async () => !isPush || onPushed === undefined || onPushed(bytes));
    }
  };
  const listener: RequestListener = (request, response) => {
    answer(request, response).catch(() => response.destroy());
  };
  const server = certificate === undefined ? createServer(listener) : createTlsServer(certificate, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    url: `${certificate === undefined ? 'http://127.0.0.1' : 'https://localhost'}:${address.port}/shop.git`,
    folder: join(root, 'shop.git'),
    authorizations,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(root, { recursive: true, force: true });
    },
  };
}

const REPOSITORY = `git init --quiet --initial-branch=main work
echo text > work/a.txt
git -C work add --all
git -C work -c user.name=test -c user.email=test@localhost commit --quiet --message first
git clone --quiet --bare work shop.git
git -C shop.git config http.receivepack true`;

/** CGI: what the program writes first is a head of the answer. */
export async function runBackend(
  root: string,
  request: IncomingMessage,
  response: ServerResponse,
  isAnswered: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
  const { stdout } = await execa('git', ['http-backend'], {
    env: {
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: pathname,
      QUERY_STRING: searchParams.toString(),
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    input: request,
    encoding: 'buffer',
    // It ends with an error once it has answered one.
    reject: false,
  });
  if (!(await isAnswered())) return void response.destroy();
  const answer = Buffer.from(stdout);
  const bodyAt = answer.indexOf('\r\n\r\n');
  const headers = answer
    .subarray(0, bodyAt)
    .toString()
    .split('\r\n')
    .map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
  const status = Number(headers.find(([name]) => name === 'Status')?.[1].slice(0, 3) ?? 200);
  response.writeHead(status, Object.fromEntries(headers)).end(answer.subarray(bodyAt + 4));
}
