import { spawn } from 'node:child_process';
import { copyFile, mkdir, open, rm, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { execa } from 'execa';
import { z } from 'zod';

import { agents } from '../../../src/agents/index.ts';
import { parseJson } from '../../../src/contract/json.ts';
import { claimFolder, jobFolder } from '../../../src/sandboxes/host/folder.ts';
import { INSIDE_GATEWAY_PORT } from '../../../src/sandboxes/launch/inside.ts';
import { locateParts } from '../../../src/sandboxes/local/locate.ts';
import { sandboxMounts } from '../../../src/sandboxes/local/mounts.ts';
import { killProcesses } from '../../../src/sandboxes/local/processes.ts';

/** The URL of the gateway inside every fake remote sandbox. */
export const FAKE_GATEWAY_URL = `http://127.0.0.1:${INSIDE_GATEWAY_PORT}`;

const LIMITS = { cpus: null, memoryMiB: 4096, processes: 2048, diskMiB: 4096 };

/** Where fake remote sandboxes run. */
export interface MachineHost {
  stateDir: string;
  /** The folder of the gateway's socket. */
  socketDir: string;
  path: string;
}

/** A namespace without a network that stands in for a vendor's machine, with the vendor's own program in it. */
export interface Machine {
  run(command: string): Promise<number>;
  writeFile(path: string, content: Uint8Array): Promise<void>;
  /** Null where there is none. */
  readFile(path: string): Promise<Buffer | null>;
  /** Passes a request on to a port of the sandbox. The status is 599 where nothing listens there. */
  pass(port: number, from: IncomingMessage, to: ServerResponse, refused: () => void): void;
  /** Ends every process of it, and keeps its files. */
  crash(): Promise<void>;
  /** Ends it and deletes its files. */
  destroy(): Promise<void>;
}

/** Starts a machine. Without `reachesGateway` its network lets nothing pass. It has Node, the server and the agents' packages. */
export async function startMachine(host: MachineHost, id: string, reachesGateway: boolean): Promise<Machine> {
  const { stateDir, socketDir } = host;
  const options = { ...host, agents, owner: 'fake', agentsDir: undefined, hostTaskQueue: '' };
  const [codex, claude] = [await locateParts(options, agents.codex, 'bubblewrap'), await locateParts(options, agents.claude, 'bubblewrap')];
  const folder = await claimFolder(stateDir, { jobId: id, owner: 'fake' }, INSIDE_GATEWAY_PORT);
  if (folder === undefined) throw new Error('The fake machine cannot be started here.');
  for (const name of [folder.home, folder.workspace, folder.run, folder.tools, folder.tmp, folder.varTmp]) await mkdir(name);
  await copyFile(join(import.meta.dirname, 'guest.ts'), join(folder.tools, 'guest.ts'));
  await writeFile(join(folder.tools, 'package.json'), '{"type":"module"}\n');
  await writeFile(join(folder.tools, 'machine-id'), `${'0'.repeat(32)}\n`);
  const noGateway = join(stateDir, 'no-gateway');
  await mkdir(noGateway, { recursive: true });
  const { uid, gid } = codex.identity;
  if (uid !== undefined) await execa('chown', ['-R', `${uid}:${gid}`, dirname(folder.path)]);
  const packages = [...codex.packages, ...claude.packages.filter(({ name }) => !codex.packages.some((other) => other.name === name))];
  const gatewayFolder = reachesGateway ? socketDir : noGateway;
  const {
    command: words,
    user,
    ...place
  } = await codex.isolator.wrap({
    folder,
    mounts: await sandboxMounts({ ...codex, folder, packages, gatewayFolder, groups: [], hasEgress: false }),
    limits: LIMITS,
    groups: [],
    env: { PATH: `/opt/node/bin:/usr/local/bin:/usr/bin:/bin`, HOME: '/home/agent', LANG: 'C.UTF-8' },
    command: ['/opt/node/bin/node', '/opt/valetkey/guest.ts', String(INSIDE_GATEWAY_PORT)],
  });
  const [bubblewrap = '', ...args] = words;
  await using log = await open(folder.log, 'a');
  await using record = await open(folder.record, 'w', 0o600);
  const child = spawn(bubblewrap, args, {
    ...user,
    ...place,
    detached: true,
    stdio: ['ignore', log.fd, log.fd, record.fd],
  });
  child.unref();
  const job = jobFolder(stateDir, id);
  const call = async (method: string, target: string, body?: Uint8Array | string): Promise<{ status: number; body: Buffer }> =>
    new Promise((resolve, reject) => {
      const outgoing = request({ socketPath: folder.socket, method, path: target }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.once('error', reject);
        response.once('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) }));
      });
      outgoing.once('error', reject).end(body);
    });
  const machine: Machine = {
    async run(command) {
      const { body } = await call('POST', '/run', command);
      return z.object({ exitCode: z.number() }).parse(parseJson(body.toString())).exitCode;
    },
    writeFile: async (file, content) => void (await call('POST', `/files?path=${encodeURIComponent(file)}`, content)),
    async readFile(file) {
      const { status, body } = await call('GET', `/files?path=${encodeURIComponent(file)}`);
      return status === 200 ? body : null;
    },
    pass(port, from, to, refused) {
      const headers = { ...from.headers, 'x-guest-port': String(port) };
      const inner = request({ socketPath: folder.socket, method: from.method, path: from.url, headers }, (answer) => {
        if (answer.statusCode === 599) return refused();
        to.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(to);
        answer.once('error', () => to.destroy());
      });
      inner.once('error', () => (to.headersSent ? to.destroy() : refused()));
      to.once('close', () => inner.destroy());
      from.pipe(inner);
    },
    crash: async () => killProcesses(job, [job]),
    async destroy() {
      await killProcesses(job, [job]);
      await execa('chmod', ['-R', 'u+rwX', job], { reject: false });
      await rm(job, { recursive: true, force: true });
    },
  };
  for (let tries = 0; ; tries += 1) {
    const isUp = await machine.run('true').then(
      () => true,
      () => false,
    );
    if (isUp) return machine;
    if (tries === 1_000) throw new Error('The fake machine did not start.');
    await sleep(20);
  }
}
