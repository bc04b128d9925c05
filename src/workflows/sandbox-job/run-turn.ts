import { ActivityFailure, CancellationScope, CancelledFailure, condition, TimeoutFailure } from '@temporalio/workflow';

import type { Answer, RunSessionInput, RunSessionResult } from '../../activities/contracts.ts';
import type { PromptRef } from '../../contract/requests.ts';
import type { PermissionDecision, Question } from '../../contract/status.ts';

/** Answers that came before the workflow had their question. An agent asks that many things at once at most. */
const MAX_EARLY_ANSWERS = 500;

/** ms in which a program answers: only a question that is open for longer is listed, which costs billed actions. */
const LISTED_AFTER_MS = 2000;

/** A turn that ended with a stop reason. */
export type CompletedTurn = RunSessionResult & { stopReason: string };

/** A turn as one run of the workflow hands it to the next: its agent works on, or waits for the step that brings an answer. */
export interface CarriedTurn {
  turn: number;
  prompt: PromptRef;
  answer: Answer | null;
  interrupted: boolean;
  early: [string, PermissionDecision['answer']][];
}

export interface RunTurnOptions {
  /** Runs the step of the turn, once more after each answer. */
  attempt: (how: Pick<RunSessionInput, 'answer' | 'interrupt'>) => Promise<RunSessionResult>;
  /** ms. */
  permissionTimeoutMs: number;
  /** Receives a question when it is asked and until when it waits (epoch ms), and null when it is decided. */
  onQuestion: (question: Question | null, untilMs?: number) => void;
  /** Receives true for a question that no program has answered at once, and false when that one is decided. */
  onWaiting: (isWaiting: boolean) => void;
  /** The turn pauses, with none of its steps running: the next run of the workflow goes on with it. */
  pauses: () => boolean;
}

/** One turn, from its prompt to its stop reason; in between it may wait for answers and be interrupted. */
export class RunningTurn {
  readonly turn: number;
  readonly #prompt: PromptRef;
  readonly #early: Map<string, PermissionDecision['answer']>;
  #scope: CancellationScope | null = null;
  #interrupted: boolean;
  /** The question that waits for its answer. */
  #open: Question | null = null;
  #decision: PermissionDecision | null = null;
  #answer: Answer | null;

  constructor({
    turn,
    prompt,
    answer = null,
    interrupted = false,
    early = [],
  }: Partial<CarriedTurn> & Pick<CarriedTurn, 'turn' | 'prompt'>) {
    this.turn = turn;
    this.#prompt = prompt;
    this.#answer = answer;
    this.#interrupted = interrupted;
    this.#early = new Map(early);
  }

  get prompt(): PromptRef {
    return this.#prompt;
  }

  /** The agent stops; the turn ends as `cancelled`, and the job goes on. */
  interrupt(): void {
    this.#interrupted = true;
    this.#decision ??= { answer: 'deny', by: 'user' };
    this.#scope?.cancel();
  }

  /**
   * Whether an answer to the question can be taken. The agent's question is among the job's events before it is here, and the client has
   * looked there: an answer to a question that is not open yet is kept for it.
   */
  takesAnswer(question: string, turn: number): boolean {
    if (turn !== this.turn) return false;
    if (question === this.#open?.id) return this.#decision === null;
    return question !== this.#answer?.question && !this.#early.has(question) && this.#early.size < MAX_EARLY_ANSWERS;
  }

  answer(question: string, answer: PermissionDecision['answer']): void {
    if (question === this.#open?.id) this.#decision ??= { answer, by: 'user' };
    else this.#early.set(question, answer);
  }

  /** Null where it pauses. */
  async run(options: RunTurnOptions): Promise<CompletedTurn | null> {
    for (;;) {
      const result = await this.#attempt(options);
      if (result?.stopReason != null) return { ...result, stopReason: result.stopReason };
      if (result?.question == null) continue;
      this.#answer = { question: result.question.id, ...(await this.#ask(result.question, options)) };
      if (options.pauses()) return null;
    }
  }

  carry(): CarriedTurn {
    return { turn: this.turn, prompt: this.#prompt, answer: this.#answer, interrupted: this.#interrupted, early: [...this.#early] };
  }

  /** Null where it was interrupted and the worker had died, or had not begun: another then interrupts it. */
  async #attempt({ attempt }: RunTurnOptions): Promise<RunSessionResult | null> {
    const interrupt = this.#interrupted;
    this.#scope = new CancellationScope();
    try {
      return await this.#scope.run(() => attempt({ answer: this.#answer, interrupt }));
    } catch (error) {
      const wholeJob = CancellationScope.current().consideredCancelled;
      if (!this.#interrupted || interrupt || wholeJob || !(error instanceof ActivityFailure)) throw error;
      if (error.cause instanceof CancelledFailure) return resultIn(error.cause);
      if (error.cause instanceof TimeoutFailure) return null;
      throw error;
    } finally {
      this.#scope = null;
    }
  }

  /** Waits for an answer as long as it may take, whatever becomes of the worker. */
  async #ask(question: Question, { permissionTimeoutMs, onQuestion, onWaiting }: RunTurnOptions): Promise<PermissionDecision> {
    const early = this.#early.get(question.id);
    this.#early.delete(question.id);
    if (early !== undefined) return { answer: early, by: 'user' };
    this.#decision = this.#interrupted ? { answer: 'deny', by: 'user' } : null;
    this.#open = question;
    onQuestion(question, Date.now() + permissionTimeoutMs);
    try {
      await this.#decided(permissionTimeoutMs, onWaiting);
      return this.#decision ?? { answer: 'deny', by: 'timeout' };
    } finally {
      this.#open = null;
      onQuestion(null);
    }
  }

  /** Resolves when the open question is decided, or its time is over. */
  async #decided(timeoutMs: number, onWaiting: RunTurnOptions['onWaiting']): Promise<void> {
    const isDecided = (): boolean => this.#decision !== null;
    const isListed =
      timeoutMs > LISTED_AFTER_MS && !(await condition(isDecided, LISTED_AFTER_MS, { summary: 'the job is listed as waiting' }));
    if (isDecided()) return;
    if (isListed) onWaiting(true);
    try {
      const leftMs = isListed ? timeoutMs - LISTED_AFTER_MS : timeoutMs;
      await condition(isDecided, leftMs, { summary: 'the question is denied (permissionTimeout)' });
    } finally {
      if (isListed) onWaiting(false);
    }
  }
}

/** The failure of a cancelled activity holds how far the turn came. */
function resultIn({ details }: CancelledFailure): RunSessionResult | null {
  return details.find(isResult) ?? null;
}

function isResult(detail: unknown): detail is RunSessionResult {
  return typeof detail === 'object' && detail !== null && 'stopReason' in detail && 'session' in detail;
}
