import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { execa } from 'execa';

import { openEngine, type Engine } from '../../../src/sandboxes/docker/engine.ts';
import { testRunsc } from '../gvisor.ts';

const START_TIMEOUT_MS = 60_000;

/** A Docker Engine that only the tests use. */
export interface TestEngine {
  engine: Engine;
  socketPath: string;
  stop(): Promise<void>;
}

/**
 * Starts a Docker Engine with folders of its own and no network, and installs it first where apt can; where DOCKER_HOST is set, that engine is
 * used. Resolves to the reason where this machine can have none.
 */
export async function startTestEngine(): Promise<TestEngine | string> {
  const running = /^unix:\/\/(.+)$/.exec(process.env['DOCKER_HOST'] ?? '')?.[1];
  if (running !== undefined) return { engine: await openEngine(running, 0), socketPath: running, stop: () => Promise.resolve() };
  const reason = await whyNoEngine();
  if (reason !== null) return reason;
  const folder = await mkdtemp(join(tmpdir(), 'vk-docker-'));
  const socketPath = join(folder, 'docker.sock');
  const config = join(folder, 'daemon.json');
  await writeFile(config, JSON.stringify({ runtimes: runtimes() }));
  await using log = await open(join(folder, 'log'), 'a');
  const places = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'run'), '--pidfile', join(folder, 'pid')];
  const network = ['--host', `unix://${socketPath}`, '--bridge=none', '--iptables=false', '--ip-forward=false', '--ip-masq=false'];
  const daemon = spawn('dockerd', [...places, ...network, '--config-file', config], {
    stdio: ['ignore', log.fd, log.fd],
    env: { ...process.env, PATH: withSystemFolders() },
  });
  const engine = await openEngine(socketPath, 0);
  const stop = async (): Promise<void> => {
    if (daemon.exitCode === null && daemon.signalCode === null) {
      const gone = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await gone;
    }
    // A layer that is still mounted keeps the folder.
    for (const mount of (await mountsBelow(folder)).toReversed()) await execa('umount', ['-l', mount], { reject: false });
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const untilMs = performance.now() + START_TIMEOUT_MS;
  while (
    !(await engine.ping().then(
      () => true,
      () => false,
    ))
  ) {
    if (daemon.exitCode !== null || performance.now() > untilMs) {
      const lines = (await readFile(join(folder, 'log'), 'utf8')).trim().split('\n').slice(-3).join(' | ');
      await stop();
      return `dockerd does not start here: ${lines}`;
    }
    await sleep(50);
  }
  return { engine, socketPath, stop };
}

/** gVisor as the documentation has it, and one that lacks what sandboxes need; none where this machine has no gVisor. */
function runtimes(): object {
  const path = testRunsc();
  if (path === undefined) return {};
  return { runsc: { path, runtimeArgs: ['--platform=systrap', '--host-uds=all', '--overlay2=none'] }, 'runsc-bare': { path } };
}

async function whyNoEngine(): Promise<string | null> {
  if (process.platform !== 'linux') return 'the engine runs on Linux only';
  if (process.getuid?.() !== 0) return 'only root can start an engine';
  if (await has('dockerd')) return null;
  if (!(await has('apt-get'))) return 'dockerd is not installed, and apt-get is not there';
  const install = 'apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io';
  const env = { PATH: withSystemFolders(), DEBIAN_FRONTEND: 'noninteractive' };
  const { failed, stderr } = await execa('sh', ['-c', install], { env, stdout: 'ignore', reject: false, timeout: 180_000 });
  return failed || !(await has('dockerd')) ? `apt-get cannot install docker.io: ${stderr.trim().split('\n').at(-1)}` : null;
}

async function has(command: string): Promise<boolean> {
  const { failed } = await execa('sh', ['-c', `command -v ${command}`], { env: { PATH: withSystemFolders() }, reject: false });
  return !failed;
}

/** PATH with the folders of the system's daemons, which PATH may lack. */
function withSystemFolders(): string {
  return `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
}

async function mountsBelow(folder: string): Promise<string[]> {
  const lines = (await readFile('/proc/self/mounts', 'utf8')).split('\n');
  return lines.map((line) => line.split(' ')[1] ?? '').filter((path) => path.startsWith(`${folder}/`));
}
