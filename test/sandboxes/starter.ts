/** A worker for tests: starts a sandbox with the provider, the options and the request given, prints its handle and stays. */
import { z } from 'zod';

import { agents } from '../../src/agents/index.ts';
import { ISOLATIONS } from '../../src/contract/sandbox-provider.ts';
import { createDockerProvider } from '../../src/sandboxes/docker/docker.ts';
import { createLocalProvider } from '../../src/sandboxes/local/local.ts';
import type { SandboxProvider } from '../../src/sandboxes/sandbox.ts';
import { providerAt } from './remote-rig.ts';

const hostSchema = z.object({ owner: z.string(), stateDir: z.string(), socketDir: z.string(), hostTaskQueue: z.string() });
const localSchema = hostSchema.extend({ path: z.string(), runsc: z.string().optional() });
const dockerSchema = hostSchema.extend({
  baseDir: z.string(),
  image: z.string(),
  socketPath: z.string(),
  maxConcurrentStarts: z.number(),
  engineStateDir: z.string().optional(),
  gvisorRuntime: z.string().optional(),
});
const placeSchema = z.object({
  name: z.enum(['e2b', 'daytona']),
  url: z.string(),
  apiKey: z.string(),
  stateDir: z.string(),
  owner: z.string(),
  lifetimeMs: z.number(),
});
const requestSchema = z.object({ jobId: z.string(), isolation: z.enum(ISOLATIONS) });

const PROVIDERS: Record<string, (options: unknown) => SandboxProvider> = {
  local: (options) => createLocalProvider({ agents, agentsDir: undefined, ...localSchema.parse(options) }),
  e2b: (options) => providerAt(placeSchema.parse(options)),
  daytona: (options) => providerAt(placeSchema.parse(options)),
  docker: (options) => {
    const { engineStateDir, gvisorRuntime, ...parsed } = dockerSchema.parse(options);
    return createDockerProvider({ agents, ...parsed, engineStateDir, gvisorRuntime });
  },
};

const [name = '', options = '', request = ''] = process.argv.slice(2);
const handle = await PROVIDERS[name]?.(JSON.parse(options)).start({ agent: 'codex', ...requestSchema.parse(JSON.parse(request)) });
process.stdout.write(`${JSON.stringify(handle)}\n`);
setInterval(() => {}, 60_000);
