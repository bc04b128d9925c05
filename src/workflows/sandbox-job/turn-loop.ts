import { allHandlersFinished, condition, workflowInfo } from '@temporalio/workflow';

import type { RunSessionInput, RunSessionResult, StartedSandbox } from '../../activities/contracts.ts';
import { durationMs } from '../../contract/duration.ts';
import type { JobInput } from '../../contract/spec.ts';
import { turnActivities } from '../activities.ts';
import type { Rotation } from '../rotation.ts';
import type { Conversation } from './conversation.ts';
import { isKeyEnded, type JobKeys } from './job-keys.ts';
import type { ProgressReporter } from './progress-reporter.ts';
import { RunningTurn, type CarriedTurn } from './run-turn.ts';

/** The turns of a job as one run of the workflow hands them to the next. */
export interface CarriedTurns {
  session: RunSessionResult['session'];
  /** How many ended with a stop reason. */
  endedTurns: number;
  /** The turn that goes on; null: the job is between turns. */
  turn: CarriedTurn | null;
  /** Since when the job waits for a prompt: epoch ms; null: it does not. */
  idleSinceMs: number | null;
}

export interface TurnLoopOptions {
  spec: JobInput;
  conversation: Conversation;
  keys: JobKeys;
  rotation: () => Rotation;
  progress: ProgressReporter;
  /** ms for one turn, from when it was scheduled. */
  turnTimeoutMs: number;
}

/** Runs the prompts of a job one after the other in its session, and waits for more where the job is kept open. */
export class TurnLoop {
  readonly #options: TurnLoopOptions;
  #session: CarriedTurns['session'];
  #endedTurns: number;
  #running: RunningTurn | null;
  #idleSinceMs: number | null;

  constructor(options: TurnLoopOptions, { session, endedTurns, turn, idleSinceMs }: CarriedTurns) {
    this.#options = options;
    this.#session = session;
    this.#endedTurns = endedTurns;
    this.#running = turn === null ? null : new RunningTurn(turn);
    this.#idleSinceMs = idleSinceMs;
  }

  /** The turn that runs or waits for an answer; null between turns. */
  get running(): RunningTurn | null {
    return this.#running;
  }

  /** How many ended with a stop reason. */
  get endedTurns(): number {
    return this.#endedTurns;
  }

  carry(): CarriedTurns {
    const turn = this.#running?.carry() ?? null;
    return { session: this.#session, endedTurns: this.#endedTurns, turn, idleSinceMs: this.#idleSinceMs };
  }

  /** Resolves to true when the job has no prompt left, to false where the next run of the workflow continues the work. */
  async run(handle: StartedSandbox['handle']): Promise<boolean> {
    const { conversation } = this.#options;
    for (;;) {
      if (this.#running === null) {
        const next = conversation.next();
        if (next !== null) this.#running = new RunningTurn(next);
      }
      if (this.#running !== null) {
        if (!(await this.#runTurn(handle, this.#running))) return false;
      } else if (!(await this.#hasAnotherPrompt())) {
        conversation.close();
        return true;
      }
      if (this.#mayPause()) return false;
    }
  }

  /** Resolves to false where the turn pauses. */
  async #runTurn(handle: StartedSandbox['handle'], turn: RunningTurn): Promise<boolean> {
    const { spec, progress } = this.#options;
    try {
      const ended = await turn.run({
        permissionTimeoutMs: durationMs(spec.permissionTimeout),
        onQuestion: (question, untilMs) => progress.reportQuestion(question, untilMs),
        onWaiting: (isWaiting) => progress.reportWaiting(isWaiting),
        pauses: () => this.#mayPause(),
        attempt: (how) => this.#attempt(handle, turn, how),
      });
      if (ended === null) return false;
      this.#session = ended.session;
      this.#endedTurns += 1;
      progress.report({ spentUsd: ended.spentUsd });
    } catch (error) {
      this.#running = null;
      throw error;
    }
    this.#running = null;
    return true;
  }

  /** Runs the activity of a turn; where its key has ended meanwhile, again with the next key. */
  async #attempt(
    handle: StartedSandbox['handle'],
    { turn, prompt }: RunningTurn,
    how: Pick<RunSessionInput, 'answer' | 'interrupt'>,
  ): Promise<RunSessionResult> {
    const { spec, keys, progress, turnTimeoutMs } = this.#options;
    const { agent, model, permissions, onInterrupted, stallAfter } = spec;
    const { secrets } = spec.sandbox;
    const { runSession } = turnActivities(handle.hostTaskQueue, `turn ${turn}`, turnTimeoutMs);
    const input = { agent, model, handle, turn, prompt, permissions, secrets, onInterrupted, stallMs: durationMs(stallAfter) };
    progress.report({ phase: 'running', turn });
    for (;;) {
      try {
        const result = await runSession({ ...keys.current, ...input, ...how, session: this.#session });
        this.#session = result.session;
        progress.report({ spentUsd: result.spentUsd });
        return result;
      } catch (error) {
        if (!isKeyEnded(error)) throw error;
        await keys.mintNext();
      }
    }
  }

  /** Waits for a prompt as long as the job is kept open without one, or until the history gets long. */
  async #hasAnotherPrompt(): Promise<boolean> {
    const { spec, conversation, progress } = this.#options;
    if (spec.keepOpen === undefined) return false;
    this.#idleSinceMs ??= Date.now();
    progress.report({ phase: 'waiting' });
    const leftMs = Math.max(1, this.#idleSinceMs + durationMs(spec.keepOpen) - Date.now());
    const summary = 'the job ends unless a prompt comes (keepOpen)';
    const continues = await condition(() => conversation.hasNext || this.#mayPause(), leftMs, { summary });
    if (conversation.hasNext) this.#idleSinceMs = null;
    return continues;
  }

  /**
   * The history is long, and nothing runs that the next run could not continue. Temporal suggests it long before it would end the
   * history.
   */
  #mayPause(): boolean {
    return workflowInfo().continueAsNewSuggested && this.#options.rotation().isIdle && allHandlersFinished();
  }
}
