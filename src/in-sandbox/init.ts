/**
 * The first program in a sandbox: `node init.ts <gateway port> <gateway socket> <run folder> <server> [<egress port> <egress socket>]`.
 * Runs the sandbox-agent server, forwards the loopback ports to the sockets of the gateway and of the egress proxy, and
 * `<run folder>/agent.sock` to the server. Self-contained: it is copied into the sandbox. It ends when the server ends.
 */
import { spawn } from 'node:child_process';
import { closeSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { connect, createServer, type ListenOptions, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const [gatewayPort, gatewaySocket = '', runFolder = '', serverCommand = '', egressPort, egressSocket = ''] = process.argv.slice(2);
const host = '127.0.0.1';
const workspace = process.cwd();

closeInherited();
await forward({ host, port: Number(gatewayPort) }, { path: gatewaySocket });
if (egressPort !== undefined) await forward({ host, port: Number(egressPort) }, { path: egressSocket });

const port = await freePort();
const server = spawn(serverCommand, ['server', '--no-token', '--no-telemetry', '--host', host, '--port', String(port)], {
  cwd: workspace,
  stdio: ['ignore', 'inherit', 'inherit'],
});
server.once('error', () => process.exit(1));
server.once('exit', () => process.exit(1));

// The socket appears when the server answers: whoever finds a socket that does not answer knows that the sandbox is dead.
while (!(await accepts(port))) await delay(5);
// Relative, because an address has room for 107 bytes only.
process.chdir(runFolder);
await forward({ path: 'starting.sock' }, { host, port }).catch(() => server.kill('SIGKILL'));
// A socket is there a moment before it listens; under its name it does both.
renameSync('starting.sock', 'agent.sock');
process.chdir(workspace);

/** What the worker's own parent left open would reach the agent. Node marks what it opens itself. */
function closeInherited(): void {
  const closedOnExec = 0o2000000;
  for (const descriptor of readdirSync('/proc/self/fd').map(Number)) {
    const flags = /flags:\s+(\d+)/.exec(fdInfo(descriptor))?.[1];
    if (descriptor > 2 && flags !== undefined && (Number.parseInt(flags, 8) & closedOnExec) === 0) closeSync(descriptor);
  }
}

/** Empty for the descriptor that listed the others. */
function fdInfo(descriptor: number): string {
  try {
    return readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8');
  } catch {
    return '';
  }
}

async function forward(from: ListenOptions, to: NetConnectOpts): Promise<void> {
  await listen(
    createServer((caller) => {
      const callee = connect(to);
      join(caller, callee);
      join(callee, caller);
    }),
    from,
  );
}

/** An end is passed on as an end, after the last byte; a break as a break, so that half an answer never looks whole. */
function join(from: Socket, to: Socket): void {
  from.setNoDelay(true);
  from.pipe(to);
  from.on('error', () => to.destroy());
  from.on('close', () => to.end());
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await listen(probe, { host, port: 0 });
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function accepts(at: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port: at });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function listen(listener: Server, at: ListenOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject).listen(at, resolve);
  });
}
