import { allHandlersFinished, condition, isCancellation, workflowInfo } from '@temporalio/workflow';

import type { RunSessionInput, RunSessionResult, StartedSandbox } from '../../activities/contracts.ts';
import { durationMs } from '../../contract/duration.ts';
import type { JobInput } from '../../contract/spec.ts';
import type { Question } from '../../contract/status.ts';
import { questionActivities, turnActivities } from '../activities.ts';
import type { Rotation } from '../rotation.ts';
import type { Conversation } from './conversation.ts';
import { isSandboxLost } from './decide-outcome.ts';
import { isKeyEnded, type JobKeys } from './job-keys.ts';
import type { ProgressReporter } from './progress-reporter.ts';
import { RunningTurn, type CarriedTurn, type QuestionOptions } from './run-turn.ts';

/** The turns of a job as one run of the workflow hands them to the next. */
export interface CarriedTurns {
  session: RunSessionResult['session'];
  /** The session as it was before a turn that goes on. */
  sessionBefore?: RunSessionResult['session'];
  /** How many ended with a stop reason. */
  endedTurns: number;
  /** The turn that goes on; null: the job is between turns. */
  turn: CarriedTurn | null;
  /** Since when the job waits for a prompt: epoch ms; null: it does not. */
  idleSinceMs: number | null;
  /** Whether the checkpoint of the last turn holds all that the agent changed. */
  checkpointComplete?: boolean;
}

/**
 * Why the turns do not go on for now. `done`: the job has no prompt left; `paused`: the next run of the workflow continues the work; `idle`: the
 * job has waited long enough to hibernate.
 */
export type TurnsEnd = 'done' | 'paused' | 'idle';

export interface TurnLoopOptions {
  spec: JobInput;
  conversation: Conversation;
  keys: JobKeys;
  rotation: () => Rotation;
  /** The host of the sandbox drains. */
  leaves: () => boolean;
  progress: ProgressReporter;
  /** ms for one turn, from when it was scheduled. */
  turnTimeoutMs: number;
}

/** Runs the prompts of a job one after the other in its session, and waits for more where the job is kept open. */
export class TurnLoop {
  readonly #options: TurnLoopOptions;
  #session: CarriedTurns['session'];
  /** After the last turn that ended: a turn that begins again does so from here. */
  #endedSession: CarriedTurns['session'];
  #endedTurns: number;
  #running: RunningTurn | null;
  #idleSinceMs: number | null;
  #checkpointComplete: boolean;

  constructor(
    options: TurnLoopOptions,
    { session, sessionBefore = session, endedTurns, turn, idleSinceMs, checkpointComplete = false }: CarriedTurns,
  ) {
    this.#options = options;
    this.#session = session;
    this.#endedSession = sessionBefore;
    this.#endedTurns = endedTurns;
    this.#running = turn === null ? null : new RunningTurn(turn);
    this.#idleSinceMs = idleSinceMs;
    this.#checkpointComplete = checkpointComplete;
  }

  /** The turn that runs or waits for an answer; null between turns. */
  get running(): RunningTurn | null {
    return this.#running;
  }

  /** How many ended with a stop reason. */
  get endedTurns(): number {
    return this.#endedTurns;
  }

  /** How many ended with a stop reason before the checkpoint from which another sandbox goes on; the turn that hibernates counts as one. */
  get checkpointedTurns(): number {
    return this.#running?.isHibernated === true ? this.#running.turn : this.#endedTurns;
  }

  /** The turn whose prompt a sandbox may have received without a checkpoint since. */
  get unsavedTurn(): number | null {
    return this.#running === null || this.#running.isHibernated ? null : this.#running.turn;
  }

  carry(): CarriedTurns {
    const turn = this.#running?.carry() ?? null;
    const complete = this.#checkpointComplete ? { checkpointComplete: true } : {};
    const before = turn === null ? {} : { sessionBefore: this.#endedSession };
    return { session: this.#session, ...before, endedTurns: this.#endedTurns, turn, idleSinceMs: this.#idleSinceMs, ...complete };
  }

  /** Runs the turns in a sandbox until they do not go on in it. */
  async run(started: StartedSandbox): Promise<TurnsEnd> {
    const { conversation } = this.#options;
    for (;;) {
      if (this.#running === null) {
        if (conversation.hasNext && this.#leaves) return 'idle';
        const next = conversation.next();
        if (next !== null) this.#running = new RunningTurn(next);
      }
      if (this.#running !== null) {
        const end = await this.#runTurn(started, this.#running);
        if (end !== 'ended') return end;
      } else {
        const wait = await this.#waitForPrompt({ hibernates: true });
        if (wait !== 'prompt') return wait;
      }
      if (this.#mayPause()) return 'paused';
    }
  }

  /** Waits for the prompt or the answer that wakes a hibernated job. */
  async waitHibernated(): Promise<Exclude<TurnsEnd, 'idle'> | 'wake'> {
    if (this.#running !== null) {
      this.#options.progress.report({ phase: 'hibernated' });
      return (await this.#running.waitHibernated(this.#questionOptions)) ? 'wake' : 'paused';
    }
    const wait = this.#options.conversation.hasNext ? 'prompt' : await this.#waitForPrompt({ hibernates: false });
    if (wait === 'prompt') return 'wake';
    return wait === 'idle' ? 'paused' : wait;
  }

  /** The first turn goes on with the session of another job. */
  continueFrom(session: CarriedTurns['session']): void {
    this.#session = this.#endedSession = session;
  }

  /** The turn that ran in a lost sandbox begins again; what is left of the one before has no effect. */
  restart(): void {
    if (this.#running === null || this.#running.isHibernated) return;
    const { resumes: _resumes, ...turn } = this.#running.carry();
    this.#running = new RunningTurn(turn);
    this.#session = this.#endedSession;
  }

  /** No turn begins again. */
  drop(): void {
    this.#running = null;
  }

  get #questionOptions(): QuestionOptions {
    const { progress } = this.#options;
    return {
      onQuestion: (question, untilMs) => progress.reportQuestion(question, untilMs),
      onWaiting: (isWaiting) => progress.reportWaiting(isWaiting),
      pauses: () => this.#mayPause(),
    };
  }

  async #runTurn(started: StartedSandbox, turn: RunningTurn): Promise<'ended' | 'paused' | 'idle'> {
    const { spec, progress } = this.#options;
    const isRestored = spec.onSandboxLoss === 'restore';
    try {
      const ended = await turn.run({
        ...this.#questionOptions,
        permissionTimeoutMs: durationMs(spec.permissionTimeout),
        hibernateAfterMs: isRestored ? durationMs(spec.hibernateAfter) : Infinity,
        leaves: () => isRestored && this.#options.leaves(),
        attempt: (how) => this.#attempt(started, turn, how),
        mayHibernate: (question) => this.#storeCheckpoint(started, turn, question),
      });
      if (this.#running !== turn) return 'paused';
      if (ended === 'paused' || ended === 'idle') return ended;
      this.#session = this.#endedSession = ended.session;
      this.#endedTurns += 1;
      this.#checkpointComplete = ended.checkpointComplete === true;
      progress.report({ spentUsd: ended.spentUsd });
    } catch (error) {
      if (!isSandboxLost(error) && this.#running === turn) this.#running = null;
      throw error;
    }
    this.#running = null;
    return 'ended';
  }

  /** Resolves to whether another sandbox can go on from the question. What fails, other than the sandbox itself, is no reason to end the job. */
  async #storeCheckpoint({ handle, startCommit }: StartedSandbox, { turn }: RunningTurn, question: Question): Promise<boolean> {
    const { spec, keys } = this.#options;
    const session = this.#session;
    if (session === null) return false;
    const { jobId, tenant } = keys.current;
    const { storeCheckpoint } = questionActivities(handle.hostTaskQueue, `store a checkpoint: turn ${turn} waits for an answer`);
    try {
      return await storeCheckpoint({ jobId, tenant, agent: spec.agent, turn, handle, startCommit, session, question });
    } catch (error) {
      if (isSandboxLost(error) || isCancellation(error)) throw error;
      return false;
    }
  }

  /** Runs the activity of a turn; where its key has ended meanwhile, again with the next key. */
  async #attempt(
    { handle, startCommit }: StartedSandbox,
    running: RunningTurn,
    how: Pick<RunSessionInput, 'answer' | 'interrupt' | 'resumes'>,
  ): Promise<RunSessionResult> {
    const { spec, keys, progress, turnTimeoutMs } = this.#options;
    const { agent, model, permissions, instructions, mcpServers, onInterrupted, stallAfter } = spec;
    const { secrets } = spec.sandbox;
    const { turn, prompt } = running;
    const { runSession } = turnActivities(handle.hostTaskQueue, `turn ${turn}`, turnTimeoutMs);
    const checkpoint = spec.onSandboxLoss === 'restore' ? { startCommit } : {};
    const input = {
      agent,
      model,
      handle,
      turn,
      prompt,
      permissions,
      instructions,
      mcpServers,
      secrets,
      onInterrupted,
      stallMs: durationMs(stallAfter),
      ...checkpoint,
    };
    progress.report({ phase: 'running', turn });
    for (;;) {
      try {
        const result = await runSession({ ...keys.current, ...input, ...how, session: this.#session });
        if (this.#running !== running) return result;
        this.#session = result.session;
        progress.report({ spentUsd: result.spentUsd });
        return result;
      } catch (error) {
        if (!isKeyEnded(error)) throw error;
        await keys.mintNext();
      }
    }
  }

  /** Waits for a prompt as long as the job is kept open without one, until the history gets long, or until the job may hibernate. */
  async #waitForPrompt({ hibernates }: { hibernates: boolean }): Promise<TurnsEnd | 'prompt'> {
    const { spec, conversation, progress } = this.#options;
    if (spec.keepOpen !== undefined) {
      this.#idleSinceMs ??= Date.now();
      progress.report({ phase: hibernates ? 'waiting' : 'hibernated' });
      const leftMs = (ms: number): number => Math.max(1, (this.#idleSinceMs ?? 0) + ms - Date.now());
      const endsMs = leftMs(durationMs(spec.keepOpen));
      const idleMs = hibernates && this.#mayHibernate ? leftMs(durationMs(spec.hibernateAfter)) : Infinity;
      const summary =
        idleMs < endsMs ? 'the job hibernates unless a prompt comes (hibernateAfter)' : 'the job ends unless a prompt comes (keepOpen)';
      const mayLeave = (): boolean => hibernates && this.#leaves;
      const continues = await condition(() => conversation.hasNext || this.#mayPause() || mayLeave(), Math.min(endsMs, idleMs), {
        summary,
      });
      if (conversation.hasNext) {
        this.#idleSinceMs = null;
        return 'prompt';
      }
      if (mayLeave()) return 'idle';
      if (continues) return 'paused';
      if (idleMs < endsMs) return 'idle';
    }
    conversation.close();
    return 'done';
  }

  /** The host of the sandbox drains, and the job can continue on another. */
  get #leaves(): boolean {
    return this.#options.leaves() && this.#mayHibernate;
  }

  /** All of the job’s work is in its checkpoint, or there is none yet. */
  get #mayHibernate(): boolean {
    return this.#options.spec.onSandboxLoss === 'restore' && (this.#endedTurns === 0 || this.#checkpointComplete);
  }

  /**
   * The history is long, and nothing runs that the next run could not continue. Temporal suggests it long before it would end the
   * history.
   */
  #mayPause(): boolean {
    return workflowInfo().continueAsNewSuggested && this.#options.rotation().isIdle && allHandlersFinished();
  }
}
