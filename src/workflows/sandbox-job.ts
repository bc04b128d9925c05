import {
  ActivityCancellationType,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  defineQuery,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';

import type { Activities, KeyInput, RunSessionResult, StartedSandbox } from '../activities/contracts.ts';
import { msUntilDeadline } from '../job/deadline.ts';
import { formatKeyRef } from '../job/ref.ts';
import type { ArtifactInfo, JobResult, TurnResult } from '../job/result.ts';
import { searchAttributes } from '../job/search-attributes.ts';
import type { JobSpec } from '../job/spec.ts';
import { STATUS_QUERY, type JobProgress } from '../job/status.ts';
import { decideOutcome, type Ending } from './decide-outcome.ts';
import { describeJob } from './describe-job.ts';

/** How much longer than the job its key can live at the gateway, where nothing of ours is up to end it. */
const KEY_SLACK_MS = 5 * 60_000;
const MAX_GENERATIONS = 100;
/** A cancelled step is awaited, so that none goes on beside the cleanup. */
const AWAITED = { cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED } as const;
const UNTIL_DONE = { initialInterval: '1s', maximumInterval: '30s' } as const;

/**
 * One job from its key to its settlement. Owns the key and the sandbox: whatever ends the work, both are ended before the
 * workflow ends. Returns the result of a completed job; another outcome throws a failure whose type is its code, and the
 * result is in the store.
 */
export async function sandboxJob(spec: JobSpec): Promise<JobResult> {
  const { workflowId: jobId, firstExecutionRunId: leaseId, startTime } = workflowInfo();
  const { tenant, agent, model } = spec;
  const job = { jobId, tenant };
  const deadlineMs = msUntilDeadline(spec.deadline, startTime.getTime());
  const deadline = new Date(startTime.getTime() + deadlineMs);

  let key = generation(1);
  let started: StartedSandbox | null = null;
  let ending: Ending = { outcome: 'completed', failure: null };
  let artifacts: ArtifactInfo[] = [];
  const turns: TurnResult[] = [];
  const progress: JobProgress = {
    phase: 'starting',
    outcome: null,
    ref: key.ref,
    keyState: 'minting',
    sandbox: null,
    turn: 0,
    turns: spec.prompts.length,
    spentUsd: 0,
    deadline: deadline.toISOString(),
  };
  setHandler(defineQuery<JobProgress>(STATUS_QUERY), () => progress);

  function generation(number: number): KeyInput {
    const ref = formatKeyRef({ jobId, leaseId, generation: number });
    return { ...job, ref, generation: number, gateway: spec.credential.gateway };
  }

  function report(change: Partial<JobProgress>): void {
    Object.assign(progress, change);
    setCurrentDetails(describeJob(progress, { budgetUsd: spec.budgetUsd, agent, tenant }));
  }

  async function mint(): Promise<void> {
    const expiresAt = new Date(deadline.getTime() + KEY_SLACK_MS).toISOString();
    for (;;) {
      try {
        await steps(`mint key, generation ${key.generation}`).mintKey({ ...key, agent, model, budgetUsd: spec.budgetUsd, expiresAt });
        return report({ keyState: 'live' });
      } catch (error) {
        // A job that was reset finds the key of its earlier run dead.
        if (decideOutcome(error, null).failure?.code !== 'key_ended' || key.generation === MAX_GENERATIONS) throw error;
        key = generation(key.generation + 1);
        report({ ref: key.ref });
      }
    }
  }

  async function startSandbox(): Promise<StartedSandbox> {
    const { sandbox, workspace } = spec;
    started = await steps(`start ${sandbox.provider} sandbox`).startSandbox({ ...job, agent, model, sandbox, workspace });
    report({ sandbox: started.handle.id });
    return started;
  }

  async function work(): Promise<void> {
    const [{ handle }] = await together([startSandbox(), mint()]);
    let last: RunSessionResult | null = null;
    for (const [index, prompt] of spec.prompts.entries()) {
      const turn = index + 1;
      report({ phase: 'running', turn });
      last = await sessionSteps(handle.hostTaskQueue, `turn ${turn} of ${spec.prompts.length}`, deadlineMs).runSession({
        ...key,
        agent,
        model,
        handle,
        turn,
        prompt,
        session: last?.session ?? null,
      });
      turns.push(last.turn);
      report({ spentUsd: last.spentUsd });
    }
  }

  async function end(): Promise<void> {
    report({ phase: 'ending', outcome: ending.outcome });
    const host = started?.handle.hostTaskQueue ?? null;
    const [made] = await Promise.all([
      cleanup('take out the work, stop the sandbox', host).stopSandbox({ ...job, provider: spec.sandbox.provider, started }),
      cleanup('revoke the key')
        .revokeKey(key)
        .then(() => report({ keyState: 'dead' })),
    ]);
    artifacts = made;
  }

  async function settle(): Promise<JobResult> {
    report({ phase: 'settling' });
    const { gateway } = key;
    const startedAt = startTime.toISOString();
    const result = await cleanup('settle the usage').settleUsage({ ...job, agent, gateway, ...ending, turns, artifacts, startedAt });
    report({ phase: 'ended', spentUsd: result.usage.usd });
    upsertSearchAttributes([
      { key: searchAttributes.keyState, value: 'dead' },
      { key: searchAttributes.spendUsd, value: result.usage.usd },
    ]);
    return result;
  }

  report({});
  const root = CancellationScope.current();
  let deadlinePassed = false;
  try {
    await untilDeadline(deadlineMs, work, () => (deadlinePassed = true));
  } catch (error) {
    ending = decideOutcome(error, deadlinePassed ? 'deadline_exceeded' : root.consideredCancelled ? 'cancelled' : null);
  }
  const result = await CancellationScope.nonCancellable(async () => {
    await end();
    return settle();
  });
  return conclude(result);
}

/** Runs the work and cancels it at the deadline: a timer of the workflow, since Temporal's own time-out would skip the cleanup. */
async function untilDeadline(deadlineMs: number, work: () => Promise<void>, onDeadline: () => void): Promise<void> {
  const scope = new CancellationScope();
  const timer = new CancellationScope();
  const passed = timer.run(() => sleep(Math.max(1, deadlineMs), { summary: 'deadline of the job' }));
  passed.then(
    () => {
      onDeadline();
      scope.cancel();
    },
    // It is cancelled with the job, or at the end of the work.
    () => undefined,
  );
  try {
    await scope.run(work);
  } finally {
    timer.cancel();
  }
}

/** All of them; where one fails the others are cancelled and awaited, so that none goes on beside the cleanup. */
async function together<T extends readonly Promise<unknown>[]>(
  tasks: readonly [...T],
): Promise<{ -readonly [I in keyof T]: Awaited<T[I]> }> {
  try {
    return await Promise.all(tasks);
  } catch (error) {
    CancellationScope.current().cancel();
    await Promise.allSettled(tasks);
    throw error;
  }
}

function conclude(result: JobResult): JobResult {
  const { outcome, failure } = result;
  if (failure === null) return result;
  if (outcome === 'cancelled') throw new CancelledFailure(failure.message);
  throw ApplicationFailure.create({ type: failure.code, message: failure.message, nonRetryable: true });
}

function steps(summary: string): Pick<Activities, 'mintKey' | 'startSandbox'> {
  const { startSandbox } = proxyActivities<Activities>({
    ...AWAITED,
    summary,
    startToCloseTimeout: '5m',
    scheduleToCloseTimeout: '10m',
    heartbeatTimeout: '20s',
    retry: { initialInterval: '1s', maximumInterval: '10s', maximumAttempts: 3 },
  });
  const { mintKey } = proxyActivities<Activities>({
    ...AWAITED,
    summary,
    startToCloseTimeout: '15s',
    scheduleToCloseTimeout: '45s',
    retry: { initialInterval: '1s', maximumInterval: '10s' },
  });
  return { mintKey, startSandbox };
}

/** No small number of attempts: a deploy consumes one. The deadline of the job bounds it. */
function sessionSteps(hostTaskQueue: string | null, summary: string, deadlineMs: number): Pick<Activities, 'runSession'> {
  return proxyActivities<Activities>({
    ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }),
    ...AWAITED,
    summary,
    scheduleToCloseTimeout: deadlineMs + KEY_SLACK_MS,
    heartbeatTimeout: '20s',
    retry: { initialInterval: '1s', maximumInterval: '10s' },
  });
}

/** Without limit: a key or a sandbox that cannot be ended now is ended later, and shows in the UI until then. */
function cleanup(summary: string, hostTaskQueue: string | null = null): Pick<Activities, 'stopSandbox' | 'revokeKey' | 'settleUsage'> {
  return proxyActivities<Activities>({
    ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }),
    summary,
    startToCloseTimeout: '2m',
    retry: UNTIL_DONE,
  });
}
