import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  defineQuery,
  defineUpdate,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';

import type { KeyInput, RunSessionResult, StartedSandbox } from '../activities/contracts.ts';
import { durationMs, msUntilDeadline } from '../job/deadline.ts';
import { formatKeyRef } from '../job/ref.ts';
import {
  ANSWER_UPDATE,
  INTERRUPT_UPDATE,
  PROMPT_UPDATE,
  ROTATE_UPDATE,
  type AnswerRequest,
  type PromptRequest,
  type Rotated,
  type Taken,
} from '../job/requests.ts';
import type { JobResult, TurnResult } from '../job/result.ts';
import { searchAttributes } from '../job/search-attributes.ts';
import type { JobSpec } from '../job/spec.ts';
import { STATUS_QUERY, type JobProgress, type Question } from '../job/status.ts';
import { Conversation, refusal } from './conversation.ts';
import { decideOutcome, type Ending } from './decide-outcome.ts';
import { describeJob } from './describe-job.ts';
import { LostSandboxes } from './lost-sandboxes.ts';
import { Rotation } from './rotation.ts';
import { RunningTurn } from './run-turn.ts';
import { together, untilDeadline } from './scopes.ts';
import { cleanup, rebindSteps, sessionSteps, settleInPlace, steps } from './steps.ts';

/** How much longer than the job its key can live at the gateway, where nothing of ours is up to end it. */
const KEY_SLACK_MS = 5 * 60_000;
const MAX_GENERATIONS = 100;
/** Attempts at the end of a key, and what Temporal's index says of one that they leave: `stuck` after as many as the ledger does. */
const LEFT_BY = [
  [1, 'disabled'],
  [4, 'stuck'],
] as const;

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
  const turns: TurnResult[] = [];
  /** Keys whose place a newer one took, and that are still to be ended. */
  const replaced: KeyInput[] = [];
  const conversation = new Conversation(spec.prompts);
  const keepOpenMs = spec.keepOpen === undefined ? 0 : durationMs(spec.keepOpen);
  const permissionTimeoutMs = durationMs(spec.permissionTimeout);
  let last: RunSessionResult | null = null;
  let running: RunningTurn | null = null;
  const progress: JobProgress = {
    phase: 'starting',
    outcome: null,
    ref: key.ref,
    keyState: 'minting',
    sandbox: null,
    turn: 0,
    turns: conversation.turns,
    question: null,
    spentUsd: 0,
    deadline: deadline.toISOString(),
  };
  const lost = new LostSandboxes();
  const rotation = new Rotation({ mint: mintNext, takeUp: takeUpKey });
  setHandler(defineQuery<JobProgress>(STATUS_QUERY), () => progress);
  setHandler(
    defineUpdate<Taken, [PromptRequest]>(PROMPT_UPDATE),
    (request) => {
      const turn = conversation.add(request);
      report({ turns: conversation.turns });
      return { turn };
    },
    { validator: (request: PromptRequest) => conversation.check(request) },
  );
  setHandler(
    defineUpdate<Taken>(INTERRUPT_UPDATE),
    () => {
      running?.interrupt();
      return { turn: progress.turn };
    },
    { validator: () => expect(running !== null, 'no turn runs') },
  );
  setHandler(
    defineUpdate<Taken, [AnswerRequest]>(ANSWER_UPDATE),
    ({ answer }) => {
      running?.answer(answer);
      return { turn: progress.turn };
    },
    { validator: ({ question }) => expect(question === progress.question?.id, 'no such question is open') },
  );

  setHandler(defineUpdate<Rotated>(ROTATE_UPDATE), () => rotation.request(), {
    validator: () => expect(progress.keyState === 'live' && !rotation.isStopped, 'the job has no live key'),
  });

  function generation(number: number): KeyInput {
    const ref = formatKeyRef({ jobId, leaseId, generation: number });
    return { ...job, ref, generation: number, gateway: spec.credential.gateway };
  }

  function report(change: Partial<JobProgress>): void {
    Object.assign(progress, change);
    setCurrentDetails(describeJob(progress, { budgetUsd: spec.budgetUsd, agent, tenant }));
  }

  /** Mints the key, or the first after it whose end has not begun: a job that was reset finds the keys of its earlier run dead. */
  async function mint(wanted: KeyInput): Promise<void> {
    const diesAt = new Date(deadline.getTime() + KEY_SLACK_MS).toISOString();
    for (let next = wanted; ; next = generation(next.generation + 1)) {
      try {
        await steps(`mint key, generation ${next.generation}`).mintKey({ ...next, agent, model, budgetUsd: spec.budgetUsd, diesAt });
        key = next;
        return report({ keyState: 'live', ref: key.ref });
      } catch (error) {
        if (!isKeyEnded(error) || next.generation >= MAX_GENERATIONS) throw error;
      }
    }
  }

  async function mintNext(): Promise<Rotated> {
    const old = key;
    await mint(generation(old.generation + 1));
    replaced.push(old);
    return { ref: key.ref, generation: key.generation };
  }

  /** In mid-turn the agent takes it up with its next request, or with its next process; between turns the next one binds it. */
  async function takeUpKey(): Promise<void> {
    const newest = replaced.at(-1);
    if (newest === undefined) return;
    const { permissions } = spec;
    const turn = running;
    if (turn !== null && started !== null) {
      const { handle } = started;
      const { rebindKey } = rebindSteps(handle.hostTaskQueue, `put key ${key.generation} into the sandbox`);
      const rebind = { ...job, agent, model, handle, permissions, replaces: newest.ref };
      const isTaken = await lost.orLost(handle.id, async () => rebindKey(rebind));
      // The next turn may have begun by then, and has the new key.
      if (!isTaken) await condition(() => running !== turn);
    }
    // Those of an earlier rotation that failed are among them.
    for (let [old] = replaced; old !== undefined; [old] = replaced) {
      await cleanup(`revoke key ${old.generation}`).revokeKey({ ...old, cause: 'rotated' });
      replaced.shift();
    }
  }

  async function startSandbox(): Promise<StartedSandbox> {
    const { sandbox, workspace } = spec;
    started = await steps(`start ${sandbox.provider} sandbox`).startSandbox({ ...job, agent, model, sandbox, workspace });
    report({ sandbox: started.handle.id });
    return started;
  }

  async function work(): Promise<void> {
    const [{ handle }] = await together([startSandbox(), mint(key)]);
    await lost.orLost(handle.id, async () => converse(handle));
  }

  async function converse(handle: StartedSandbox['handle']): Promise<void> {
    for (;;) {
      const next = conversation.next();
      if (next !== null) await runTurn(handle, next);
      else if (keepOpenMs === 0 || !(await anotherPrompt())) return conversation.close();
    }
  }

  async function runTurn(handle: StartedSandbox['handle'], { turn, prompt }: { turn: number; prompt: string }): Promise<void> {
    const {
      permissions,
      onInterrupted,
      sandbox: { secrets },
    } = spec;
    const { runSession } = sessionSteps(handle.hostTaskQueue, `turn ${turn}`, deadlineMs + KEY_SLACK_MS);
    const input = { agent, model, handle, turn, prompt, permissions, secrets, onInterrupted, stallMs: durationMs(spec.stallAfter) };
    running = new RunningTurn({
      permissionTimeoutMs,
      onQuestion,
      attempt: async (how) => {
        report({ phase: 'running', turn });
        for (;;) {
          try {
            last = await runSession({ ...key, ...input, ...how, session: last?.session ?? null });
            return last;
          } catch (error) {
            if (!isKeyEnded(error)) throw error;
            await mint(generation(key.generation + 1));
          }
        }
      },
    });
    try {
      const ended = await running.run();
      last = ended;
      turns.push(ended.turn);
      report({ spentUsd: ended.spentUsd });
    } finally {
      running = null;
    }
  }

  function onQuestion(question: Question | null): void {
    if (question === null) return report({ question: null });
    report({ phase: 'waiting', question: { ...question, until: new Date(Date.now() + permissionTimeoutMs).toISOString() } });
  }

  /** Waits for one as long as the job is kept open without. */
  function anotherPrompt(): Promise<boolean> {
    report({ phase: 'waiting' });
    return condition(() => conversation.hasNext, keepOpenMs);
  }

  function endKey(attempts?: number): Promise<void> {
    return cleanup('revoke the key', { attempts }).revokeKey({ ...key, cause: 'job' });
  }

  async function revoke(): Promise<void> {
    for (const [attempts, left] of LEFT_BY) {
      try {
        await endKey(attempts);
        return report({ keyState: 'dead' });
      } catch {
        report({ keyState: left });
        upsertSearchAttributes([{ key: searchAttributes.keyState, value: left }]);
      }
    }
    await endKey();
    report({ keyState: 'dead' });
  }

  /** Takes the work out and ends the sandbox; one whose host is gone is given up. */
  async function stopSandbox(): Promise<Pick<JobResult, 'artifacts' | 'sandboxLost'>> {
    const { provider } = spec.sandbox;
    const host = started?.handle.hostTaskQueue ?? null;
    const sandbox = started?.handle.id ?? '';
    const message = last?.message ?? null;
    const stop = { ...job, provider, started, artifacts: spec.artifacts, message };
    try {
      const ended = async () => cleanup('take out the work, stop the sandbox', { host }).stopSandbox(stop);
      return { artifacts: await lost.orLost(sandbox, ended), sandboxLost: false };
    } catch (error) {
      if (!lost.has(sandbox)) throw error;
      const artifacts = await cleanup('give up the sandbox').abandonSandbox({ ...job, sandbox, message });
      return { artifacts, sandboxLost: true };
    }
  }

  /** Ends the key and the sandbox, then settles. */
  async function finish(): Promise<JobResult> {
    conversation.close();
    const rotating = rotation.stop();
    if (rotating !== null) await rotating;
    report({ phase: 'ending', outcome: ending.outcome, question: null });
    const [{ artifacts, sandboxLost }] = await Promise.all([stopSandbox(), revoke()]);
    report({ phase: 'settling' });
    const ended = { ...job, agent, ...ending, turns, artifacts, sandboxLost, startedAt: startTime.toISOString() };
    const summary = 'settle the usage';
    const result = await settleInPlace(summary)
      .settleUsage(ended)
      .catch(() => cleanup(summary).settleUsage(ended));
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
  return conclude(await CancellationScope.nonCancellable(finish));
}

function conclude(result: JobResult): JobResult {
  const { outcome, failure } = result;
  if (failure === null) return result;
  if (outcome === 'cancelled') throw new CancelledFailure(failure.message);
  throw ApplicationFailure.create({ type: failure.code, message: failure.message, nonRetryable: true });
}

function isKeyEnded(error: unknown): boolean {
  return decideOutcome(error, null).failure?.code === 'key_ended';
}

/** For validators. */
function expect(holds: boolean, message: string): void {
  if (!holds) throw refusal('nothing_to_do', message);
}
