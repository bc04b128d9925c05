import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { z } from 'zod';

import { ISOLATIONS, SANDBOX_PROVIDERS, type Isolation } from '../../src/contract/sandbox-provider.ts';
import type { SandboxHandle } from '../../src/sandboxes/sandbox.ts';

/** The program of a worker that starts one sandbox: see there. */
export const STARTER = fileURLToPath(new URL('./starter.ts', import.meta.url));

const handleSchema = z.object({
  provider: z.enum(SANDBOX_PROVIDERS),
  id: z.string(),
  isolation: z.enum(ISOLATIONS),
  hostTaskQueue: z.string().nullable(),
});

/** Starts a sandbox in a worker of its own, which is killed as soon as the sandbox is up. */
export async function startAndKillWorker(
  provider: SandboxHandle['provider'],
  options: object,
  request: { jobId: string; isolation: Isolation },
): Promise<SandboxHandle> {
  const args = [STARTER, provider, JSON.stringify(options), JSON.stringify(request)];
  const worker = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = once(worker, 'exit');
  const failed = gone.then(() => Promise.reject(new Error('The worker ended before its sandbox was up.')));
  // The worker is killed in the end.
  failed.catch(() => {});
  const [line] = z.tuple([z.string()]).parse(await Promise.race([once(createInterface(worker.stdout), 'line'), failed]));
  worker.kill('SIGKILL');
  await gone;
  return handleSchema.parse(JSON.parse(line));
}
