// The vendor's own program in a fake remote sandbox: `node guest.ts <gateway port>`. It listens on a socket that the fake alone
// reaches, runs commands, reads and writes files, passes requests to ports of the sandbox, and stands in for the sandbox's network.
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { dirname } from 'node:path';

const gateway = createTcpServer((caller) => {
  const callee = connect('/run/gateway/gateway.sock');
  caller.pipe(callee).pipe(caller);
  callee.on('error', () => caller.destroy());
  caller.on('error', () => callee.destroy());
});
gateway.listen(Number(process.argv[2]), '127.0.0.1');

process.chdir('/run/valetkey');
createServer((req, res) => {
  handle(req, res).catch(() => res.writeHead(500).end());
}).listen('agent.sock');

async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const port = req.headers['x-guest-port'];
  if (port !== undefined) return passOn(req, res, Number(port));
  const url = new URL(req.url ?? '', 'http://guest');
  const path = url.searchParams.get('path') ?? '';
  if (url.pathname === '/files' && req.method === 'POST') {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, await bodyOf(req));
    return void res.end('{}');
  }
  if (url.pathname === '/files') {
    const content = await readFile(path).catch(() => null);
    return void (content === null ? res.writeHead(404).end() : res.end(content));
  }
  const child = spawn('/bin/bash', ['-c', String(await bodyOf(req))], { cwd: '/home/agent', stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.resume();
  child.stderr.resume();
  // Like the vendors', it waits for the output's end.
  child.once('close', (code) => res.end(JSON.stringify({ exitCode: code ?? 137 })));
}

function passOn(req: IncomingMessage, res: ServerResponse, port: number): void {
  const headers = { ...req.headers };
  delete headers['x-guest-port'];
  const inner = request({ host: '127.0.0.1', port, method: req.method, path: req.url, headers }, (answer) => {
    res.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(res);
    answer.once('error', () => res.destroy());
  });
  inner.once('error', () => (res.headersSent ? res.destroy() : res.writeHead(599).end()));
  res.once('close', () => inner.destroy());
  req.pipe(inner);
}

async function bodyOf(req: IncomingMessage): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of req) if (part instanceof Uint8Array) parts.push(part);
  return Buffer.concat(parts);
}
