import { existsSync } from 'node:fs';
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';
import { z } from 'zod';

import { ValetkeyError } from '../../src/contract/errors.ts';
import { freePort } from '../../src/dev/process.ts';
import { programFile } from '../../src/in-sandbox/programs.ts';
import { SERVER_AGENT, type SandboxConnection, type SandboxPaths } from '../../src/sandboxes/sandbox.ts';
import { killNow } from '../helpers/kill.ts';

const here = dirname(fileURLToPath(import.meta.url));
const shim = programFile('shim');
const scriptedAgent = [process.execPath, join(here, 'scripted-agent.ts')];

const serversSchema = z.object({ servers: z.array(z.object({ serverId: z.string() })) });

export interface Server {
  port: number;
  paths: SandboxPaths;
  sandbox: SandboxConnection;
  pid: number;
  /** Every prompt that reached the agent, in order. */
  prompts(): Promise<string[]>;
  /** Writes a file into the agent's home. */
  put(name: string, content?: string): Promise<void>;
  /** Resolves when the agent's home has the file. */
  has(name: string): Promise<void>;
  /** Resolves when the server has got a message of the agent that holds the text. */
  heard(text: string): Promise<void>;
  /** Ends the agent's process as a crash does, and not the server. */
  killAgent(): Promise<void>;
  /** Ends the server and the agent, and starts the server anew with the same files. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the real sandbox-agent server, unconfined, whose agent is `command` behind the shim. */
export async function startServer(command: string[] = scriptedAgent, env: Record<string, string> = {}): Promise<Server> {
  const root = await mkdtemp(join(tmpdir(), 'valetkey-session-'));
  const paths: SandboxPaths = { home: join(root, 'home'), workspace: join(root, 'workspace'), gatewayUrl: 'http://127.0.0.1:9' };
  const bin = join(root, 'data/sandbox-agent/bin/agent_processes');
  for (const folder of [paths.home, paths.workspace, bin]) await mkdir(folder, { recursive: true });
  const launcher = ['exec', ...[process.execPath, shim, '--', ...command].map((word) => `'${word}'`)].join(' ');
  await writeFile(join(bin, `${SERVER_AGENT}-acp`), `#!/bin/sh\n${launcher}\n`, { mode: 0o755 });
  const port = await freePort();
  const sandbox = connectTo(port, paths);
  const launch = async () => {
    const child = execa(serverBinary(), ['server', '--no-token', '--no-telemetry', '--host', '127.0.0.1', '--port', String(port)], {
      cwd: root,
      detached: true,
      extendEnv: false,
      stdio: 'ignore',
      reject: false,
      env: {
        PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter),
        HOME: paths.home,
        XDG_DATA_HOME: join(root, 'data'),
        SANDBOX_AGENT_REQUIRE_PREINSTALL: '1',
        SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS: '86400000',
        ...env,
      },
    });
    const { pid } = child;
    let hasEnded = false;
    void child.then(() => (hasEnded = true));
    if (pid === undefined) throw new Error('The server did not start.');
    while (!(await sandbox.fetch('/v1/health').catch(() => null))?.ok) await sleep(20);
    // Where another test took the port in the meantime, it is its server that answers.
    if (hasEnded) throw new Error('The server has ended.');
    const end = async (): Promise<void> => {
      try {
        killNow(pid, { group: true });
      } catch {
        // The group is gone already.
      }
      await child;
    };
    return { pid, end };
  };
  let running = await launch();
  return {
    port,
    paths,
    sandbox,
    pid: running.pid,
    async prompts() {
      const log = await readFile(join(paths.home, 'prompts.log'), 'utf8').catch(() => '');
      return log
        .split('\n')
        .filter(Boolean)
        .map((line) => z.string().parse(JSON.parse(line)));
    },
    put: (name, content = '') => writeFile(join(paths.home, name), content),
    async has(name) {
      while (!existsSync(join(paths.home, name))) await sleep(10);
    },
    async heard(text) {
      const { body } = await sandbox.fetch('/v1/acp/job%3A1', { headers: { 'last-event-id': '0' } });
      let heard = '';
      for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) if ((heard += part).includes(text)) break;
    },
    async killAgent() {
      killNow(Number(await readFile(join(paths.home, 'agent.pid'), 'utf8')));
      const { servers } = serversSchema.parse(await (await sandbox.fetch('/v1/acp')).json());
      const newest = `/v1/acp/${encodeURIComponent(
        servers
          .map(({ serverId }) => serverId)
          .toSorted()
          .at(-1) ?? '',
      )}`;
      const ping = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"jsonrpc":"2.0","method":"_valetkey/ping"}' };
      while ((await sandbox.fetch(newest, ping)).ok) await sleep(10);
    },
    async restart() {
      await running.end();
      running = await launch();
    },
    async stop() {
      await running.end();
      await rm(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A connection to a server on a loopback port. */
export function connectTo(port: number, paths: SandboxPaths): SandboxConnection {
  return {
    paths,
    fetch: (path, init) =>
      fetch(`http://127.0.0.1:${port}${path}`, init).catch((error: unknown) => {
        if (init?.signal?.aborted) throw error;
        throw new ValetkeyError('sandbox_lost', 'The server does not answer.');
      }),
    close: () => Promise.resolve(),
  };
}

function serverBinary(): string {
  const require = createRequire(createRequire(import.meta.url).resolve('@sandbox-agent/cli/package.json'));
  return join(dirname(require.resolve(`@sandbox-agent/cli-${process.platform}-${process.arch}/package.json`)), 'bin/sandbox-agent');
}
