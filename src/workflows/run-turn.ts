import { ActivityFailure, CancellationScope, CancelledFailure, condition, TimeoutFailure } from '@temporalio/workflow';

import type { RunSessionInput, RunSessionResult } from '../activities/contracts.ts';
import type { TurnResult } from '../job/result.ts';
import type { PermissionDecision, Question } from '../job/status.ts';

type Attempt = (how: Pick<RunSessionInput, 'answers' | 'interrupt'>) => Promise<RunSessionResult>;
type EndedTurn = RunSessionResult & { turn: TurnResult };

export interface TurnOptions {
  /** Runs the step of the turn, once more after each answer. */
  attempt: Attempt;
  /** ms. */
  permissionTimeoutMs: number;
  /** Hears a question when it is asked, and null when it is decided. */
  onQuestion: (question: Question | null) => void;
}

/** One turn, from its prompt to its stop reason; in between it may wait for answers and be interrupted. */
export class RunningTurn {
  readonly #options: TurnOptions;
  #scope: CancellationScope | null = null;
  #interrupted = false;
  #decision: PermissionDecision | null = null;

  constructor(options: TurnOptions) {
    this.#options = options;
  }

  /** The agent stops; the turn ends as `cancelled`, and the job goes on. */
  interrupt(): void {
    this.#interrupted = true;
    this.#decision ??= { answer: 'deny', by: 'user' };
    this.#scope?.cancel();
  }

  /** Decides the open question. */
  answer(answer: PermissionDecision['answer']): void {
    this.#decision ??= { answer, by: 'user' };
  }

  async run(): Promise<EndedTurn> {
    const answers: Record<string, PermissionDecision> = {};
    for (;;) {
      const result = await this.#attempt(answers);
      if (result?.question != null) answers[result.question.id] = await this.#ask(result.question);
      else if (result?.turn != null) return { ...result, turn: result.turn };
    }
  }

  /** Null where it was interrupted and the worker had died, or had not begun: another then interrupts it. */
  async #attempt(answers: Record<string, PermissionDecision>): Promise<RunSessionResult | null> {
    const interrupt = this.#interrupted;
    this.#scope = new CancellationScope();
    try {
      return await this.#scope.run(() => this.#options.attempt({ answers, interrupt }));
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
  async #ask(question: Question): Promise<PermissionDecision> {
    const { permissionTimeoutMs, onQuestion } = this.#options;
    this.#decision = null;
    onQuestion(question);
    await condition(() => this.#decision !== null, permissionTimeoutMs);
    onQuestion(null);
    return this.#decision ?? { answer: 'deny', by: 'timeout' };
  }
}

/** A step that was cancelled tells with its failure how far the turn came. */
function resultIn({ details }: CancelledFailure): RunSessionResult | null {
  return details.find(isResult) ?? null;
}

function isResult(detail: unknown): detail is RunSessionResult {
  return typeof detail === 'object' && detail !== null && 'turn' in detail && 'session' in detail;
}
