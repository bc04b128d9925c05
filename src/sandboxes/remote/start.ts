import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Agent } from '../../agents/agent.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { isAnswering } from '../is-healthy.ts';
import type { SandboxConnection, SandboxRequest } from '../sandbox.ts';
import { remotePaths } from './layout.ts';
import type { StartLimiter } from './start-limiter.ts';
import { explainStart, startScript } from './start-script.ts';
import { remoteSandboxLost, VendorBusy, type Vendor } from './vendor.ts';
import { waitWhileBusy } from './wait-while-busy.ts';

/** Shorter than the step that starts a sandbox may take. */
const BUSY_WAIT_MS = 3 * 60_000;
const RUNNING_TIMEOUT_MS = 60_000;
const SCRIPT_TIMEOUT_MS = 60_000;
const HEALTH_TIMEOUT_MS = 30_000;
/** A start tries again where another start of the job has ended its sandbox. */
const MAX_TRIES = 5;
const POLL_INTERVAL_MS = 250;
/** A sandbox whose creation was not answered shows in a listing after a moment, or never. */
const LOST_ANSWER_LISTINGS = 3;
const LISTING_PAUSE_MS = 500;

export interface StartDeps {
  vendor: Vendor;
  limitStarts: StartLimiter;
  agent: Agent;
  connect: (id: string) => SandboxConnection;
}

/**
 * Starts the sandbox of a job, or adopts the one that it has. A vendor's creation is not idempotent, and a listing shows it late, so
 * the job's sandboxes are listed before a creation, after it, and once more when the server runs: all starts of a job settle on one,
 * and every other is ended. Throws what `SandboxProvider.start` throws.
 */
export async function startRemote(deps: StartDeps, request: SandboxRequest, signal?: AbortSignal): Promise<string> {
  const { vendor } = deps;
  const { jobId } = request;
  let created: string | null = null;
  try {
    for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
      signal?.throwIfAborted();
      let id = await keepOne(deps, jobId);
      if (id === null) {
        // Whoever ended the one of this start has another, or the vendor ends what it creates.
        if (created !== null) break;
        created = await waitWhileBusy(() => createOnce(deps, request, signal), BUSY_WAIT_MS, signal);
        signal?.throwIfAborted();
        id = (await keepOne(deps, jobId)) ?? created;
        if (id !== created) await vendor.kill(created);
      }
      const failure = await serveOr(deps, request, id, signal);
      if (failure === null && ((await keepOne(deps, jobId)) ?? id) === id) return id;
      if (failure?.code === 'sandbox_start_failed' && id === created) throw failure;
      if (failure !== null) await vendor.kill(id);
    }
    throw new ValetkeyError('sandbox_start_failed', 'The sandbox was stopped while it started.');
  } catch (error) {
    if (created !== null) await vendor.kill(created).catch(() => {});
    throw error;
  }
}

/**
 * Keeps one of the sandboxes that a job has, and ends the others. Resolves to its id; null where there is none. A sandbox whose server
 * answers may be in use, so it comes before one that is only older.
 */
async function keepOne({ vendor, connect }: StartDeps, jobId: string): Promise<string | null> {
  const ids = (await vendor.list(jobId))
    .filter(({ state }) => state !== 'ended')
    .toSorted((a, b) => a.startedAt.getTime() - b.startedAt.getTime() || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
  if (ids.length <= 1) return ids[0] ?? null;
  const answering = await Promise.all(ids.map(async (id) => isAnswering(connect(id))));
  const kept = ids[Math.max(0, answering.indexOf(true))] ?? null;
  for (const id of ids) if (id !== kept) await vendor.kill(id);
  return kept;
}

/** Resolves to null when the server runs, or to the reason why this sandbox cannot run it. */
async function serveOr(deps: StartDeps, request: SandboxRequest, id: string, signal?: AbortSignal): Promise<ValetkeyError | null> {
  try {
    await serve(deps, request, id, signal);
    return null;
  } catch (error) {
    signal?.throwIfAborted();
    if (ValetkeyError.is(error) && (error.code === 'sandbox_lost' || error.code === 'sandbox_start_failed')) return error;
    throw error;
  }
}

/** Creates a sandbox. Where the answer was lost, it looks for what the request may have created. */
async function createOnce(deps: StartDeps, { jobId, egress }: SandboxRequest, signal?: AbortSignal): Promise<string> {
  const { vendor, limitStarts } = deps;
  await limitStarts(signal);
  try {
    // Not aborted in between: whether anything was created would be unknown.
    return await vendor.create({ jobId, egress });
  } catch (error) {
    const isUnknown = ValetkeyError.is(error) && error.code === 'sandbox_provider_unreachable' && !(error instanceof VendorBusy);
    if (!isUnknown) throw error;
    for (let listing = 1; listing <= LOST_ANSWER_LISTINGS; listing += 1) {
      const id = await keepOne(deps, jobId).catch(() => null);
      if (id !== null) return id;
      await sleep(LISTING_PAUSE_MS, undefined, signal && { signal });
    }
    throw error;
  }
}

/** Has the server run in a sandbox, and resolves when it answers. Idempotent. */
async function serve({ vendor, agent, connect }: StartDeps, request: SandboxRequest, id: string, signal?: AbortSignal): Promise<void> {
  await waitUntilRunning(vendor, id, signal);
  const script = `${remotePaths.own}/start-${randomUUID()}.sh`;
  await vendor.writeFile(id, script, await startScript(request, agent), signal);
  const exitCode = await vendor.runFile(id, script, SCRIPT_TIMEOUT_MS, signal);
  if (exitCode !== 0) throw explainStart(exitCode, vendor.image, agent);
  const connection = connect(id);
  try {
    const limit = AbortSignal.timeout(HEALTH_TIMEOUT_MS);
    const response = await connection.fetch('/v1/health', { signal: signal === undefined ? limit : AbortSignal.any([limit, signal]) });
    await response.body?.cancel();
    if (!response.ok)
      throw new ValetkeyError('sandbox_start_failed', `The sandbox-agent server answered with status ${response.status} at its start.`);
  } finally {
    await connection.close();
  }
}

async function waitUntilRunning(vendor: Vendor, id: string, signal?: AbortSignal): Promise<void> {
  const untilMs = performance.now() + RUNNING_TIMEOUT_MS;
  for (;;) {
    const state = (await vendor.find(id))?.state ?? 'ended';
    if (state === 'running') return;
    if (state === 'ended') throw remoteSandboxLost(vendor.title);
    if (state !== 'starting' || performance.now() > untilMs)
      throw new ValetkeyError('sandbox_start_failed', `The sandbox at ${vendor.title} did not start: its state is ${state}.`);
    await sleep(POLL_INTERVAL_MS, undefined, signal && { signal });
  }
}
