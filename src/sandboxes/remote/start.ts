import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Agent } from '../../agents/agent.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxConnection, SandboxRequest } from '../sandbox.ts';
import { remotePaths } from './layout.ts';
import type { StartLimiter } from './start-limiter.ts';
import { explainStart, startScript } from './start-script.ts';
import { VendorBusy, type Vendor, type VendorSandbox } from './vendor.ts';
import { waitWhileBusy } from './wait-while-busy.ts';

/** Shorter than the step that starts a sandbox may take. */
const BUSY_WAIT_MS = 3 * 60_000;
const RUNNING_TIMEOUT_MS = 60_000;
const SCRIPT_TIMEOUT_MS = 60_000;
const HEALTH_TIMEOUT_MS = 30_000;
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
 * Starts the sandbox of a job, or adopts the one that it has. A vendor's creation is not idempotent, so the job's sandboxes are
 * listed before it and after it: the oldest is the job's, and every other is ended. Throws what `SandboxProvider.start` throws.
 */
export async function startRemote(deps: StartDeps, request: SandboxRequest, signal?: AbortSignal): Promise<string> {
  const { vendor } = deps;
  const earlier = await keepOldest(vendor, await vendor.list(request.jobId));
  if (earlier !== null) {
    if (await canServe(deps, request, earlier, signal)) return earlier;
    await vendor.kill(earlier);
  }
  const created = await waitWhileBusy(() => createOnce(deps, request, signal), BUSY_WAIT_MS, signal);
  try {
    signal?.throwIfAborted();
    // Another worker may have created one at the same time. Both see the same oldest one.
    const id = (await keepOldest(vendor, await vendor.list(request.jobId))) ?? created;
    if (id !== created) await vendor.kill(created);
    await serve(deps, request, id, signal);
    return id;
  } catch (error) {
    await vendor.kill(created).catch(() => {});
    if (ValetkeyError.is(error) && error.code === 'sandbox_lost') {
      // A worker that created an older one, which the listing did not show yet, has ended this one.
      const other = await keepOldest(vendor, await vendor.list(request.jobId));
      if (other !== null && (await canServe(deps, request, other, signal))) return other;
      throw new ValetkeyError('sandbox_start_failed', 'The sandbox was stopped while it started.');
    }
    throw error;
  }
}

/** Ends all but the oldest of a job's sandboxes. Resolves to its id; null where there is none. */
async function keepOldest(vendor: Vendor, found: readonly VendorSandbox[]): Promise<string | null> {
  const [oldest, ...surplus] = found
    .filter(({ state }) => state !== 'ended')
    .toSorted((a, b) => a.startedAt.getTime() - b.startedAt.getTime() || (a.id < b.id ? -1 : 1));
  for (const { id } of surplus) await vendor.kill(id);
  return oldest?.id ?? null;
}

async function canServe(deps: StartDeps, request: SandboxRequest, id: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await serve(deps, request, id, signal);
    return true;
  } catch (error) {
    signal?.throwIfAborted();
    if (ValetkeyError.is(error) && (error.code === 'sandbox_lost' || error.code === 'sandbox_start_failed')) return false;
    throw error;
  }
}

/** Creates a sandbox. Where the answer was lost, it looks for what the request may have created. */
async function createOnce({ vendor, limitStarts }: StartDeps, { jobId, egress }: SandboxRequest, signal?: AbortSignal): Promise<string> {
  await limitStarts(signal);
  try {
    // Not aborted in between: whether anything was created would be unknown.
    return await vendor.create({ jobId, egress });
  } catch (error) {
    const isUnknown = ValetkeyError.is(error) && error.code === 'sandbox_provider_unreachable' && !(error instanceof VendorBusy);
    if (!isUnknown) throw error;
    for (let listing = 1; listing <= LOST_ANSWER_LISTINGS; listing += 1) {
      const id = await keepOldest(vendor, await vendor.list(jobId).catch(() => []));
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
    if (state !== 'starting' || performance.now() > untilMs)
      throw new ValetkeyError('sandbox_start_failed', `The sandbox at ${vendor.title} did not start: its state is ${state}.`);
    await sleep(POLL_INTERVAL_MS, undefined, signal && { signal });
  }
}
