import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { ContainerCreateOptions } from 'dockerode';

import { ValetkeyError } from '../../contract/errors.ts';
import type { ListedSandbox } from '../sandbox.ts';
import { LABELS } from './container.ts';
import { asEngineError, unlessStatus, type Engine } from './engine.ts';

/** A name that was in use a moment ago is tried again for this long: the engine reserves it before it knows the container. */
const NAME_TIMEOUT_MS = 30_000;
const NAME_RETRY_INTERVAL_MS = 100;

/** A container that runs, or ran. */
export interface SandboxContainer {
  id: string;
  /** The id of the sandbox, from its label. */
  sandbox: string;
}

/** Returns the name of the container of an owner's job; `job`: the name of the job's folder. */
export function containerName(owner: string, job: string): string {
  return `valetkey-${createHash('sha256').update(`${owner}\0${job}`).digest('hex').slice(0, 24)}`;
}

/**
 * Creates and starts a container under a name that belongs to its job; the caller has claimed the job, so another container of that name is
 * left from an earlier sandbox and is removed. Resolves to its id. Throws `sandbox_start_failed`.
 */
export async function runContainer(engine: Engine, name: string, options: ContainerCreateOptions): Promise<string> {
  const untilMs = performance.now() + NAME_TIMEOUT_MS;
  for (;;) {
    const container = await unlessStatus(engine.createContainer({ ...options, name }), 409);
    if (container !== null) return await startContainer(engine, container.id);
    if (performance.now() > untilMs) throw new ValetkeyError('sandbox_start_failed', `The container name ${name} stays in use.`);
    const earlier = await findContainer(engine, name);
    if (earlier !== null) await removeContainer(engine, earlier.id);
    else await delay(NAME_RETRY_INTERVAL_MS);
  }
}

/** Starts a container that was created; one that does not start is removed. */
async function startContainer(engine: Engine, id: string): Promise<string> {
  try {
    // 304: it runs already.
    await unlessStatus(engine.getContainer(id).start(), 304);
    return id;
  } catch (error) {
    await removeContainer(engine, id);
    throw error;
  }
}

/** Finds the container of a name; null where there is none. Throws `sandbox_start_failed` where the engine does not answer. */
export async function findContainer(engine: Engine, name: string): Promise<SandboxContainer | null> {
  const found = await unlessStatus(engine.getContainer(name).inspect(), 404);
  return found === null ? null : { id: found.Id, sandbox: found.Config.Labels[LABELS.sandbox] ?? '' };
}

/** Removes a container with its processes and its volumes, and resolves when it is gone. Idempotent. */
export async function removeContainer(engine: Engine, id: string): Promise<void> {
  const container = engine.getContainer(id);
  // 409: another request is removing it.
  await unlessStatus(container.remove({ force: true, v: true }), 404, 409);
  const untilMs = performance.now() + NAME_TIMEOUT_MS;
  while ((await unlessStatus(container.inspect(), 404)) !== null) {
    if (performance.now() > untilMs) throw new ValetkeyError('internal', `The container ${id.slice(0, 12)} cannot be removed.`);
    await delay(NAME_RETRY_INTERVAL_MS);
    await unlessStatus(container.remove({ force: true, v: true }), 404, 409);
  }
}

/** Lists the containers of an owner's sandboxes, also those that have ended or never started. */
export async function listContainers(engine: Engine, owner: string): Promise<ListedSandbox[]> {
  const listed = await engine.listContainers({ all: true, filters: { label: [`${LABELS.owner}=${owner}`] } }).catch((error: unknown) => {
    throw asEngineError(error);
  });
  return listed.flatMap(({ Labels, Created }) => {
    const { [LABELS.job]: jobId, [LABELS.sandbox]: id } = Labels;
    return jobId === undefined || id === undefined ? [] : [{ id, jobId, startedAt: new Date(Created * 1000) }];
  });
}
