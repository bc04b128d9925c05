/**
 * The first program in a sandbox: `node init.ts <gateway port> <gateway socket> <run folder> <server> [<egress port> <egress
 * socket>]`. It runs the sandbox-agent server, forwards the loopback ports to the sockets of the gateway and of the egress proxy,
 * and forwards `<run folder>/agent.sock` to the server. It ends when the server ends.
 */
import { spawn } from 'node:child_process';
import { closeSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { connect, createServer, type ListenOptions, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const [gatewayPort, gatewaySocket = '', runFolder = '', serverCommand = '', egressPort, egressSocket = ''] = process.argv.slice(2);
const host = '127.0.0.1';
const workspace = process.cwd();

closeInheritedDescriptors();
await forward({ host, port: Number(gatewayPort) }, { path: gatewaySocket });
if (egressPort !== undefined) await forward({ host, port: Number(egressPort) }, { path: egressSocket });

const port = await freePort();
const server = spawn(serverCommand, ['server', '--no-token', '--no-telemetry', '--host', host, '--port', String(port)], {
  cwd: workspace,
  stdio: ['ignore', 'inherit', 'inherit'],
});
server.once('error', () => process.exit(1));
server.once('exit', () => process.exit(1));

// The socket appears when the server answers, so a socket that does not answer means that the sandbox has ended.
while (!(await accepts(port))) await delay(5);
// The path is relative, because a socket address holds 107 bytes only.
process.chdir(runFolder);
await forward({ path: 'starting.sock' }, { host, port }).catch(() => server.kill('SIGKILL'));
// A socket exists a moment before it listens; with its final name it does both.
renameSync('starting.sock', 'agent.sock');
process.chdir(workspace);

/**
 * Closes descriptors that the worker inherited from its own parent: the agent would inherit them, too. Node marks its own as
 * close-on-exec.
 */
function closeInheritedDescriptors(): void {
  const closedOnExec = 0o2000000;
  for (const descriptor of readdirSync('/proc/self/fd').map(Number)) {
    const flags = /flags:\s+(\d+)/.exec(fdInfo(descriptor))?.[1];
    if (descriptor > 2 && flags !== undefined && (Number.parseInt(flags, 8) & closedOnExec) === 0) closeSync(descriptor);
  }
}

/** Reads the state of a descriptor; empty for the one that listed the others, which is closed by now. */
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
      connectStreams(caller, callee);
      connectStreams(callee, caller);
    }),
    from,
  );
}

/** Forwards an end as an end, after the last byte, and a reset as a reset, so that half a response never looks complete. */
function connectStreams(from: Socket, to: Socket): void {
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
