// The vendor's own program in a fake remote sandbox: `node guest.mjs <gateway port>`. It listens on a socket that the fake alone
// reaches, runs commands, reads and writes files, passes requests to ports of the sandbox, and stands in for the sandbox's network.
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
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

async function handle(req, res) {
  const port = req.headers['x-guest-port'];
  if (port !== undefined) return pass(req, res, Number(port));
  const url = new URL(req.url, 'http://guest');
  if (url.pathname === '/files' && req.method === 'POST') {
    const path = url.searchParams.get('path');
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, await bodyOf(req));
    return res.end('{}');
  }
  if (url.pathname === '/files') {
    const content = await readFile(url.searchParams.get('path')).catch(() => null);
    return content === null ? res.writeHead(404).end() : res.end(content);
  }
  const child = spawn('/bin/bash', ['-c', String(await bodyOf(req))], { cwd: '/home/agent', stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.resume();
  child.stderr.resume();
  // Like the vendors', it waits for the output's end.
  child.once('close', (code, signal) => res.end(JSON.stringify({ exitCode: code ?? (signal === null ? 1 : 137) })));
}

function pass(req, res, port) {
  const { 'x-guest-port': _, ...headers } = req.headers;
  const inner = request({ host: '127.0.0.1', port, method: req.method, path: req.url, headers }, (answer) => {
    res.writeHead(answer.statusCode, answer.headers);
    answer.pipe(res);
    answer.once('error', () => res.destroy());
  });
  inner.once('error', () => (res.headersSent ? res.destroy() : res.writeHead(599).end()));
  res.once('close', () => inner.destroy());
  req.pipe(inner);
}

async function bodyOf(req) {
  const parts = [];
  for await (const part of req) parts.push(part);
  return Buffer.concat(parts);
}
