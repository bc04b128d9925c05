import { CancellationScope, continueAsNew, workflowInfo } from '@temporalio/workflow';

import { msUntilDeadline } from '../../contract/deadline.ts';
import type { SettledJob } from '../../contract/result.ts';
import type { JobInput } from '../../contract/spec.ts';
import { Rotation } from '../rotation.ts';
import { untilDeadline } from '../scopes.ts';
import { Conversation, type CarriedConversation } from './conversation.ts';
import { decideOutcome, type Ending } from './decide-outcome.ts';
import { closeAs, endJob } from './end-job.ts';
import { JobKeys, KEY_SLACK_MS, type CarriedKeys } from './job-keys.ts';
import { JobSandbox, type CarriedSandbox } from './job-sandbox.ts';
import { handleMessages } from './message-handlers.ts';
import { ProgressReporter } from './progress-reporter.ts';
import { openQuestionOf } from './run-turn.ts';
import { runWork } from './run-work.ts';
import { TurnLoop, type CarriedTurns } from './turn-loop.ts';

/** A job as one run of the workflow hands it to the next: below 512 KB, since what grows is in the store. */
export interface CarriedJob extends CarriedTurns, CarriedSandbox {
  /** Of the first run: epoch ms. */
  startedAtMs: number;
  keys: CarriedKeys;
  conversation: CarriedConversation;
  /** USD. */
  spentUsd: number;
}

const NO_TURNS: CarriedTurns = { session: null, endedTurns: 0, turn: null, idleSinceMs: null };

/**
 * Runs one job from its key to its settlement. It owns the key and the sandbox: whatever ends the work, both are ended before the
 * workflow closes. A long history is continued by a new run, where no activity runs: between turns, and before the activity that
 * brings an answer to the agent. Resolves to how a completed job ended; another outcome throws a failure whose type is its code. The result
 * is in the store. A change in the order of what it starts needs `patched`: jobs that run replay it.
 */
export async function sandboxJob(spec: JobInput, carried?: CarriedJob): Promise<SettledJob> {
  const { workflowId: jobId, firstExecutionRunId: leaseId, startTime } = workflowInfo();
  const { tenant, agent } = spec;
  const startedAtMs = carried?.startedAtMs ?? startTime.getTime();
  const deadline = new Date(startedAtMs + msUntilDeadline(spec.deadline, startedAtMs));
  const leftMs = deadline.getTime() - startTime.getTime();

  const conversation = new Conversation(spec.prompts, carried?.conversation);
  const keys = new JobKeys({ spec, jobId, leaseId, deadline, progress: () => progress }, carried?.keys);
  const progress = new ProgressReporter(spec, {
    phase: 'starting',
    outcome: null,
    failure: null,
    ref: keys.current.ref,
    keyState: carried === undefined ? 'minting' : carried.started === null ? 'revoked' : 'active',
    sandbox: carried?.started?.handle.id ?? null,
    turn: carried?.turn?.turn ?? carried?.endedTurns ?? 0,
    turns: conversation.turns,
    question: openQuestionOf(carried?.turn),
    spentUsd: carried?.spentUsd ?? 0,
    deadline: deadline.toISOString(),
  });
  const sandbox = new JobSandbox({ spec, job: { jobId, tenant }, deadline, progress }, carried);
  const turnTimeoutMs = leftMs + KEY_SLACK_MS;
  const turns = new TurnLoop(
    { spec, conversation, keys, rotation: () => rotation, leaves: () => sandbox.leaves, progress, turnTimeoutMs },
    carried ?? NO_TURNS,
  );
  const rotation = new Rotation({
    mint: () => keys.replace(),
    adopt: () => keys.adopt({ handle: sandbox.started?.handle ?? null, running: () => turns.running, lost: sandbox.lost }),
  });
  handleMessages({ conversation, rotation, turns, progress });
  progress.report({});

  const root = CancellationScope.current();
  let ending: Ending = { outcome: 'completed', failure: null };
  let deadlinePassed = false;
  let isDone = true;
  try {
    isDone = await untilDeadline(
      leftMs,
      () => runWork({ spec, sandbox, keys, rotation, turns }),
      () => (deadlinePassed = true),
    );
  } catch (error) {
    ending = decideOutcome(error, deadlinePassed ? 'deadline_exceeded' : root.consideredCancelled ? 'cancelled' : null);
  }
  if (!isDone) {
    const { spentUsd } = progress.progress;
    const next: CarriedJob = {
      startedAtMs,
      ...sandbox.carry(),
      keys: keys.carry(),
      conversation: conversation.carry(),
      ...turns.carry(),
      spentUsd,
    };
    // What the workspace starts from may be large; only a job that restores or pushes needs it again.
    const workspace = spec.onSandboxLoss === 'restore' || spec.workspace.push !== undefined ? spec.workspace : {};
    return continueAsNew<typeof sandboxJob>({ ...spec, prompts: [], workspace }, next);
  }
  const job = { jobId, tenant, agent, leaseId, startedAtMs };
  const parts = { job, conversation, rotation, keys, sandbox, turns, progress };
  return closeAs(await CancellationScope.nonCancellable(() => endJob(parts, ending)), ending);
}
