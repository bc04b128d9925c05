import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createClient, type ValetkeyClient } from '../../src/client/client.ts';
import { loadConfig } from '../../src/config/config.ts';
import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { valetkey } from '../cli/valetkey.ts';
import { processEnvironment } from './process-environment.ts';
import { part, type Part } from './process-stack.ts';
import { killSandboxes } from './sandbox-remains.ts';

/** A host of its own: a gateway and a worker as processes, and the folder of its sandboxes. */
export interface Host {
  worker: Part;
  gateway: Part;
  config: Stack['config'];
  /** Ends all its processes at once, those of its sandboxes too. */
  lose(): Promise<void>;
  /** `valetkey worker drain --json`, with what a shell of the host has. */
  drain(): ReturnType<typeof valetkey>;
}

/** Hosts that share a task queue, a Temporal and a Postgres. */
export interface Hosts {
  client: ValetkeyClient;
  /** Its worker and gateway are not started yet. */
  host(name: string): Promise<Host>;
  stop(): Promise<void>;
}

/** `environment`: of all workers and gateways, beside their own. */
export async function startHosts(temporal: Stack['temporal'], databaseUrl: string, environment: NodeJS.ProcessEnv = {}): Promise<Hosts> {
  const logs: FileHandle[] = [];
  const folders: string[] = [];
  const hosts: Host[] = [];
  const credential = randomBytes(16).toString('hex');
  const model = await startScriptedModel({ credential });
  const shared = { ...processEnvironment({ databaseUrl, temporal, stateDir: '/', model, credential }), ...environment };
  const client = await createClient({
    databaseUrl,
    taskQueue: String(shared['VALETKEY_TASK_QUEUE']),
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  return {
    client,
    host: async (name) => {
      const stateDir = await mkdtemp(join(tmpdir(), 'vk-'));
      folders.push(stateDir);
      await chmod(stateDir, 0o755);
      const { VALETKEY_ROOT_KEY, ANTHROPIC_API_KEY, OPENAI_API_KEY, ...others } = shared;
      const both = { ...others, VALETKEY_STATE_DIR: stateDir, VALETKEY_HOST: name };
      const log = await open(join(stateDir, 'log.jsonl'), 'a');
      logs.push(log);
      const host: Host = {
        config: loadConfig({ ...both, VALETKEY_ROOT_KEY }),
        gateway: part('gateway', { ...both, ANTHROPIC_API_KEY, OPENAI_API_KEY }, log.fd),
        worker: part('worker', { ...both, VALETKEY_ROOT_KEY }, log.fd),
        lose: async () => {
          await Promise.all([host.worker.kill('SIGKILL'), host.gateway.kill('SIGKILL')]);
          await killSandboxes(host);
        },
        drain: () => {
          const { databaseUrl: url = '', taskQueue } = host.config;
          const { address, namespace } = temporal;
          const env = { DATABASE_URL: url, VALETKEY_TASK_QUEUE: taskQueue, VALETKEY_HOST: name };
          return valetkey(['worker', 'drain', '--json'], { env: { ...env, TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace } });
        },
      };
      hosts.push(host);
      return host;
    },
    stop: async () => {
      await client.close();
      for (const host of hosts) await host.lose();
      await model.close();
      for (const log of logs) await log.close();
      for (const folder of folders) await rm(folder, { recursive: true, force: true });
    },
  };
}
