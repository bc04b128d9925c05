// Nothing of the worker's world reaches a sandbox: a sandbox sees what its job was given, and its network is the gateway, no more.
// Here a program inside looks at its environment, at every process and at the file system, and knocks at every listener of the
// host. It finds what its job was given, and the gateway.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';

import type { SandboxConnection } from '../../../src/sandboxes/sandbox.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';
import { createRig, run, runCommand, type Rig } from '../../sandboxes/rig.ts';

const CANARY = 'canary-of-the-worker';
let rig: Rig;
let inside: SandboxConnection;
let otherId: string;

beforeAll(async () => {
  process.env['VALETKEY_TEST_CANARY'] = CANARY;
  rig = await createRig();
  const { provider } = rig;
  const other = await provider.start({ jobId: 'other', agent: 'codex', isolation: 'bubblewrap' });
  otherId = other.id;
  await writeFile(join(rig.folderOf(other.id), 'home', CANARY), CANARY);
  inside = provider.connect(
    await provider.start({ jobId: 'prisoner', agent: 'codex', isolation: 'bubblewrap', limits: { memoryMiB: 768, processes: 500 } }),
  );
});

afterAll(async () => {
  await inside.close();
  await rig.close();
});

test('no environment inside holds a variable of the worker', async () => {
  const names = (await run(inside, 'env')).split('\n').map((line) => line.split('=')[0]);
  const own = Object.keys(process.env).filter(
    (name) => !['PATH', 'HOME', 'LANG', 'TERM', 'SHELL', 'USER', 'LOGNAME', 'PWD', 'OLDPWD', 'TMPDIR', 'SHLVL', '_'].includes(name),
  );
  expect(names).toContain('HOME');
  expect(names.filter((name) => name !== undefined && own.includes(name) && !name.startsWith('npm_'))).toEqual([]);
  expect(await run(inside, 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null | tr "\\0" "\\n"')).not.toContain(CANARY);
  expect(await run(inside, 'cat /proc/1/environ')).toBe('');
});

test('no file of the host, of the worker or of another job can be read or written', async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, CANARY), CANARY);
  const places = [homedir(), process.cwd(), folder, rig.options.stateDir, rig.folderOf(otherId), '/root', '/etc/shadow', '/mnt', '/boot'];
  const seen = await run(
    inside,
    `for place in ${places.map((place) => `'${place}'`).join(' ')}; do [ -e "$place" ] && echo "$place"; done; true`,
  );
  expect(seen).toBe('');
  expect(await run(inside, `find / -path /proc -prune -o -path /usr -prune -o -name '${CANARY}' -print 2> /dev/null; true`)).toBe('');
  const written = await run(
    inside,
    'for at in / /usr /etc /opt /opt/valetkey /run /run/gateway /dev /proc/sys /var /sys /sys/fs /sys/fs/cgroup /sys/devices/system/cpu; do touch $at/written 2> /dev/null && echo $at; done; true',
  );
  expect(written).toBe('');
});

test('of all listeners of the host only the gateway answers', async () => {
  const visits: string[] = [];
  const listeners = await Promise.all([
    listenAt(visits, { host: '127.0.0.1', port: 0 }),
    listenAt(visits, { host: '0.0.0.0', port: 0 }),
    listenAt(visits, { host: '::', port: 0 }),
    listenAt(visits, { path: `\0${CANARY}-${process.pid}` }),
  ]);
  const ports = [...new Set([...(await listeningPorts('/proc/net/tcp')), ...(await listeningPorts('/proc/net/tcp6'))])];
  for (const listener of listeners.slice(0, 3)) expect(ports).toContain(portOf(listener));

  const answers = z
    .array(z.string())
    .parse(JSON.parse(await runCommand(inside, '/opt/node/bin/node', ['-e', knock, JSON.stringify(ports), `${CANARY}-${process.pid}`])));
  expect(answers).toEqual([]);
  expect(visits).toEqual([]);
  expect(await run(inside, `curl -s ${inside.paths.gatewayUrl}/knock`)).toBe('gateway');
  expect(rig.requests).toContain('GET /knock');
  expect(await run(inside, 'ls /sys/class/net 2> /dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1')).toMatch(/^\s*lo\s*$/);
  for (const listener of listeners) listener.close();
});

test('a process inside has no capability, cannot gain one, and cannot make a namespace', async () => {
  const status = await run(inside, 'cat /proc/self/status');
  expect(status).toMatch(/^CapEff:\s+0+$/m);
  expect(status).toMatch(/^CapBnd:\s+0+$/m);
  expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
  expect(await run(inside, 'unshare --user true 2> /dev/null || echo refused')).toBe('refused\n');
});

test('a process that takes too much memory fails alone', async () => {
  const hungry = 'const kept = []; for (;;) kept.push(Buffer.alloc(64 * 1024 * 1024, 1));';
  expect(await run(inside, `/opt/node/bin/node -e '${hungry}' > /dev/null 2>&1 || echo failed`)).toBe('failed\n');
  expect((await inside.fetch('/v1/health')).status).toBe(200);
});

test('nothing that the worker’s parent had open is open inside', async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'open'), CANARY);
  const starter = fileURLToPath(new URL('../../sandboxes/starter.ts', import.meta.url));
  const args = [
    '-c',
    'exec 200< "$1"; shift; exec "$@"',
    'bash',
    join(folder, 'open'),
    process.execPath,
    starter,
    JSON.stringify(rig.options),
    'inherits',
  ];
  const worker = spawn('bash', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(createInterface(worker.stdout), 'line');
  const connection = rig.provider.connect(await rig.provider.start({ jobId: 'inherits', agent: 'codex', isolation: 'bubblewrap' }));
  expect(await run(connection, 'ls -l /proc/[0-9]*/fd 2> /dev/null')).not.toContain(folder);
  await connection.close();
  worker.kill('SIGKILL');
  await rig.provider.stop('inherits');
});

/** Runs inside: tries each port on both loopbacks and the abstract socket; prints what took the connection and is not the sandbox's own. */
const knock = `
const { connect } = require('node:net');
const { readFileSync } = require('node:fs');
const own = ['tcp', 'tcp6'].flatMap((name) => readFileSync('/proc/net/' + name, 'utf8').split('\\n').slice(1))
  .map((line) => line.trim().split(/\\s+/)).filter((words) => words[3] === '0A').map((words) => parseInt(words[1].split(':').at(-1), 16));
const [ports, abstract] = process.argv.slice(1);
const targets = JSON.parse(ports).filter((port) => !own.includes(port))
  .flatMap((port) => ['127.0.0.1', '::1', '0.0.0.0'].map((host) => ({ host, port }))).concat({ path: '\\0' + abstract });
const attempt = (target) => new Promise((resolve) => {
  const socket = connect(target);
  socket.once('connect', () => { socket.destroy(); resolve([JSON.stringify(target)]); }).once('error', () => resolve([]));
});
Promise.all(targets.map(attempt)).then((answers) => console.log(JSON.stringify(answers.flat())));
`;

async function listenAt(visits: string[], at: { host: string; port: number } | { path: string }): Promise<Server> {
  const server = createServer((socket) => {
    visits.push(JSON.stringify(at));
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(at, resolve));
  return server;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function listeningPorts(file: string): Promise<number[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').slice(1);
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === '0A')
    .map(([, local = '']) => Number.parseInt(local.split(':').at(-1) ?? '', 16));
}
