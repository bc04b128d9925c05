import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  continueAsNew,
  setCurrentDetails,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';

import type { RunSessionResult, StartedSandbox } from '../../activities/contracts.ts';
import { durationMs, msUntilDeadline, SETUP_TIMEOUT } from '../../contract/deadline.ts';
import type { JobResult, SettledJob } from '../../contract/result.ts';
import { searchAttributes } from '../../contract/search-attributes.ts';
import type { JobInput } from '../../contract/spec.ts';
import type { JobProgress, Question } from '../../contract/status.ts';
import { Rotation } from '../rotation.ts';
import { together, untilDeadline } from '../scopes.ts';
import { cleanup, sessionSteps, settleInPlace, setupSteps, steps } from '../steps.ts';
import { Conversation, type CarriedConversation } from './conversation.ts';
import { decideOutcome, type Ending } from './decide-outcome.ts';
import { describeJob } from './describe-job.ts';
import { isKeyEnded, JobKeys, KEY_SLACK_MS, type CarriedKeys } from './job-keys.ts';
import { LostSandboxes } from './lost-sandboxes.ts';
import { handleMessages } from './message-handlers.ts';
import { RunningTurn, type CarriedTurn } from './run-turn.ts';

/** A job as one run of the workflow hands it to the next: below 512 KB, since what grows is in the store. */
export interface CarriedJob {
  /** Of the first run: epoch ms. */
  startedAtMs: number;
  started: StartedSandbox;
  session: RunSessionResult['session'];
  keys: CarriedKeys;
  conversation: CarriedConversation;
  /** How many ended with a stop reason. */
  endedTurns: number;
  /** The turn that goes on; null: the job is between turns. */
  turn: CarriedTurn | null;
  /** Since when the job waits for a prompt: epoch ms; null: it does not. */
  idleSinceMs: number | null;
  /** USD. */
  spentUsd: number;
}

/**
 * One job from its key to its settlement. Owns the key and the sandbox: whatever ends the work, both are ended before the
 * workflow ends. A history that gets long is continued by a new run, where none of its steps runs: between turns, and before the step that
 * brings an answer to the agent. Returns how a completed job ended; another outcome throws a failure whose type is its code. The result is
 * in the store.
 */
export async function sandboxJob(spec: JobInput, carried?: CarriedJob): Promise<SettledJob> {
  const { workflowId: jobId, firstExecutionRunId: leaseId, startTime } = workflowInfo();
  const { tenant, agent, model, permissions } = spec;
  const job = { jobId, tenant };
  const startedAtMs = carried?.startedAtMs ?? startTime.getTime();
  const deadline = new Date(startedAtMs + msUntilDeadline(spec.deadline, startedAtMs));
  const leftMs = deadline.getTime() - startTime.getTime();
  const keepOpenMs = spec.keepOpen === undefined ? 0 : durationMs(spec.keepOpen);
  const permissionTimeoutMs = durationMs(spec.permissionTimeout);

  let started = carried?.started ?? null;
  let session = carried?.session ?? null;
  let endedTurns = carried?.endedTurns ?? 0;
  let idleSinceMs = carried?.idleSinceMs ?? null;
  let running = carried?.turn == null ? null : new RunningTurn(carried.turn);
  let ending: Ending = { outcome: 'completed', failure: null };
  const conversation = new Conversation(spec.prompts, carried?.conversation);
  const keys = new JobKeys({ spec, jobId, leaseId, deadline, report }, carried?.keys);
  const progress: JobProgress = {
    phase: 'starting',
    outcome: null,
    ref: keys.current.ref,
    keyState: carried === undefined ? 'minting' : 'active',
    sandbox: started?.handle.id ?? null,
    turn: running?.turn ?? endedTurns,
    turns: conversation.turns,
    question: null,
    spentUsd: carried?.spentUsd ?? 0,
    deadline: deadline.toISOString(),
  };
  const lost = new LostSandboxes();
  const rotation = new Rotation({
    mint: () => keys.replace(),
    takeUp: () => keys.adopt({ handle: started?.handle ?? null, running: () => running, lost }),
  });
  handleMessages({ conversation, rotation, progress, running: () => running, onPrompt: (turns) => report({ turns }) });

  function report(change: Partial<JobProgress>): void {
    Object.assign(progress, change);
    setCurrentDetails(describeJob(progress, { budgetUsd: spec.budgetUsd, agent, tenant }));
  }

  async function startSandbox(): Promise<StartedSandbox> {
    const { sandbox, workspace } = spec;
    const start = await steps(`start ${sandbox.provider} sandbox`).startSandbox({ ...job, agent, model, sandbox, workspace });
    started = start;
    report({ sandbox: start.handle.id });
    const { setup } = workspace;
    if (setup !== undefined && setup.length > 0) {
      const timeoutMs = durationMs(workspace.setupTimeout ?? SETUP_TIMEOUT);
      const { prepareWorkspace } = setupSteps(start.handle.hostTaskQueue, 'set up the workspace', timeoutMs);
      await lost.orLost(start.handle.id, () => prepareWorkspace({ ...job, started: start, setup, secrets: sandbox.secrets, timeoutMs }));
    }
    return start;
  }

  /** The history is long, and nothing runs that the next run could not go on with. Temporal suggests it long before it would end the history. */
  function mayPause(): boolean {
    return workflowInfo().continueAsNewSuggested && rotation.isIdle && allHandlersFinished();
  }

  /** Resolves to false where the next run of the workflow goes on with the work. */
  async function work(): Promise<boolean> {
    const { handle } = started ?? (await together([startSandbox(), keys.mint()]))[0];
    return lost.orLost(handle.id, async () => converse(handle));
  }

  /** Resolves like `work`. */
  async function converse(handle: StartedSandbox['handle']): Promise<boolean> {
    for (;;) {
      if (running === null) {
        const next = conversation.next();
        if (next !== null) running = new RunningTurn(next);
      }
      if (running !== null) {
        if (!(await runTurn(handle, running))) return false;
      } else if (keepOpenMs === 0 || !(await anotherPrompt())) {
        conversation.close();
        return true;
      }
      if (mayPause()) return false;
    }
  }

  /** Resolves to false where it pauses. */
  async function runTurn(handle: StartedSandbox['handle'], turn: RunningTurn): Promise<boolean> {
    const {
      onInterrupted,
      sandbox: { secrets },
    } = spec;
    const { runSession } = sessionSteps(handle.hostTaskQueue, `turn ${turn.turn}`, leftMs + KEY_SLACK_MS);
    const { turn: number, prompt } = turn;
    const input = { agent, model, handle, turn: number, prompt, permissions, secrets, onInterrupted, stallMs: durationMs(spec.stallAfter) };
    try {
      const ended = await turn.run({
        permissionTimeoutMs,
        onQuestion,
        pauses: mayPause,
        attempt: async (how) => {
          report({ phase: 'running', turn: number });
          for (;;) {
            try {
              const result = await runSession({ ...keys.current, ...input, ...how, session });
              session = result.session;
              return result;
            } catch (error) {
              if (!isKeyEnded(error)) throw error;
              await keys.mintNext();
            }
          }
        },
      });
      if (ended === null) return false;
      session = ended.session;
      endedTurns += 1;
      report({ spentUsd: ended.spentUsd });
    } catch (error) {
      running = null;
      throw error;
    }
    running = null;
    return true;
  }

  function onQuestion(question: Question | null): void {
    if (question === null) return report({ question: null });
    report({ phase: 'waiting', question: { ...question, until: new Date(Date.now() + permissionTimeoutMs).toISOString() } });
  }

  /** Waits for one as long as the job is kept open without, or until the history gets long. */
  async function anotherPrompt(): Promise<boolean> {
    idleSinceMs ??= Date.now();
    report({ phase: 'waiting' });
    const untilMs = idleSinceMs + keepOpenMs;
    const goesOn = await condition(() => conversation.hasNext || mayPause(), Math.max(1, untilMs - Date.now()));
    if (conversation.hasNext) idleSinceMs = null;
    return goesOn;
  }

  /** Takes the work out and ends the sandbox; one whose host is gone is given up. */
  async function stopSandbox(): Promise<Pick<JobResult, 'artifacts' | 'workspace' | 'sandboxLost'>> {
    const { provider } = spec.sandbox;
    const host = started?.handle.hostTaskQueue ?? null;
    const sandbox = started?.handle.id ?? '';
    const stop = { ...job, provider, started, artifacts: spec.artifacts, lastTurn: endedTurns };
    try {
      const ended = async () => cleanup('collect artifacts, stop the sandbox', { host }).stopSandbox(stop);
      return { ...(await lost.orLost(sandbox, ended)), sandboxLost: false };
    } catch (error) {
      if (!lost.has(sandbox)) throw error;
      const artifacts = await cleanup('give up the sandbox').abandonSandbox({ ...job, sandbox, lastTurn: endedTurns });
      const omitted = [{ path: '.', reason: 'sandbox_lost', files: 1 }] as const;
      return { artifacts, workspace: { complete: false, omitted: [...omitted], more: 0 }, sandboxLost: true };
    }
  }

  /** Ends the key and the sandbox, then settles. */
  async function finish(): Promise<SettledJob> {
    conversation.close();
    const rotating = rotation.stop();
    if (rotating !== null) await rotating;
    report({ phase: 'ending', outcome: ending.outcome, question: null });
    const [stopped] = await Promise.all([stopSandbox(), keys.revoke()]);
    report({ phase: 'settling' });
    const startedAt = new Date(startedAtMs).toISOString();
    const ended = { ...job, leaseId, agent, ...ending, turns: endedTurns, ...stopped, startedAt };
    const summary = 'settle the usage';
    const result = await settleInPlace(summary)
      .settleUsage(ended)
      .catch(() => cleanup(summary).settleUsage(ended));
    report({ phase: 'ended', spentUsd: result.usage.usd });
    upsertSearchAttributes([
      { key: searchAttributes.keyState, value: 'revoked' },
      { key: searchAttributes.spendUsd, value: result.usage.usd },
    ]);
    return result;
  }

  /** What the next run of the workflow goes on from; null where there is nothing to go on with. */
  function carry(): CarriedJob | null {
    if (started === null) return null;
    const turn = running?.carry() ?? null;
    const { spentUsd } = progress;
    return {
      startedAtMs,
      started,
      session,
      keys: keys.carry(),
      conversation: conversation.carry(),
      endedTurns,
      turn,
      idleSinceMs,
      spentUsd,
    };
  }

  report({});
  const root = CancellationScope.current();
  let deadlinePassed = false;
  let isDone = true;
  try {
    isDone = await untilDeadline(leftMs, work, () => (deadlinePassed = true));
  } catch (error) {
    ending = decideOutcome(error, deadlinePassed ? 'deadline_exceeded' : root.consideredCancelled ? 'cancelled' : null);
  }
  const next = isDone ? null : carry();
  // What the workspace started from is in the sandbox by now, and may be large.
  if (next !== null) return continueAsNew<typeof sandboxJob>({ ...spec, prompts: [], workspace: {} }, next);
  return conclude(await CancellationScope.nonCancellable(finish), ending);
}

function conclude(result: SettledJob, { outcome, failure }: Ending): SettledJob {
  if (failure === null) return result;
  if (outcome === 'cancelled') throw new CancelledFailure(failure.message);
  throw ApplicationFailure.create({ type: failure.code, message: failure.message, nonRetryable: true });
}
