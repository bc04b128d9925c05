import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { asEngineError, type Engine } from './engine.ts';

/** The name of the engine’s runtime for gVisor, unless the operator names another. */
export const DEFAULT_GVISOR_RUNTIME = 'runsc';

/** Without these the sandbox-agent server’s socket would be inside gVisor only, where no worker reaches it. */
const REQUIRED_ARGUMENTS = ['--host-uds=all', '--overlay2=none'];

const runtimesSchema = z.object({
  Runtimes: z.record(z.string(), z.object({ path: z.string().optional(), runtimeArgs: z.array(z.string()).nullish() })),
});

/** Requires that the engine can run a sandbox under gVisor. Throws `isolation_unavailable`, or `sandbox_start_failed` where it does not answer. */
export async function requireGvisorRuntime(engine: Engine, name: string): Promise<void> {
  const info: unknown = await engine.info().catch((error: unknown) => {
    throw asEngineError(error);
  });
  const problem = findRuntimeProblem(info, name);
  if (problem !== null) throw new ValetkeyError('isolation_unavailable', problem);
}

/** Returns why a runtime cannot run sandboxes, by what the engine says of itself; null where it can, as far as the engine says. */
export function findRuntimeProblem(info: unknown, name: string): string | null {
  const parsed = runtimesSchema.safeParse(info);
  const runtime = parsed.success ? parsed.data.Runtimes[name] : undefined;
  if (runtime === undefined)
    return `The Docker Engine has no runtime ${name}: register gVisor’s runsc with it, or correct VALETKEY_DOCKER_GVISOR_RUNTIME (docs/sandboxes.md).`;
  // A runtime that is a shim of containerd has a file of its own for its arguments, of which the engine says nothing.
  if (runtime.path === undefined) return null;
  const given = (runtime.runtimeArgs ?? []).map((argument) => argument.replace(/^-(?!-)/, '--'));
  const missing = REQUIRED_ARGUMENTS.filter((argument) => !given.includes(argument));
  return missing.length === 0
    ? null
    : `The runtime ${name} of the Docker Engine lacks ${missing.join(' and ')} in its runtimeArgs: add what is missing, and restart the engine.`;
}
