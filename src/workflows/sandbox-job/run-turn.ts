import { ActivityFailure, CancellationScope, CancelledFailure, condition, TimeoutFailure } from '@temporalio/workflow';

import type { Answer, RunSessionInput, RunSessionResult } from '../../activities/contracts.ts';
import type { PromptRef } from '../../contract/requests.ts';
import type { AnsweredQuestion, OpenedQuestion, PermissionDecision, Question } from '../../contract/status.ts';

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
  /** The question at which the job hibernates. */
  open?: OpenQuestion;
  /** The question at which the job hibernated before this sandbox. */
  resumes?: AnsweredQuestion;
}

/** A question that waits for its answer. */
interface OpenQuestion {
  question: Question;
  /** Epoch ms: it is denied then. */
  untilMs: number;
  /** The job is listed as waiting. */
  isListed: boolean;
}

export interface QuestionOptions {
  /** Receives a question when it is asked and until when it waits (epoch ms), and null when it is decided. */
  onQuestion: (question: Question | null, untilMs?: number) => void;
  /** Receives true for a question that no program has answered at once, and false when that one is decided. */
  onWaiting: (isWaiting: boolean) => void;
  /** The turn pauses, with none of its steps running: the next run of the workflow goes on with it. */
  pauses: () => boolean;
}

export interface RunTurnOptions extends QuestionOptions {
  /** Runs the step of the turn, once more after each answer. */
  attempt: (how: Pick<RunSessionInput, 'answer' | 'interrupt' | 'resumes'>) => Promise<RunSessionResult>;
  /** ms. */
  permissionTimeoutMs: number;
  /** ms after which an open question has the job hibernate. */
  hibernateAfterMs: number;
  /** Whether it hibernates at once, since the host of its sandbox drains. */
  leaves: () => boolean;
  /** Stores what another sandbox needs to go on from the question. Resolves to false where none could. */
  mayHibernate: (question: Question) => Promise<boolean>;
}

/** One turn, from its prompt to its stop reason; in between it may wait for answers and be interrupted. */
export class RunningTurn {
  readonly turn: number;
  readonly #prompt: PromptRef;
  readonly #early: Map<string, PermissionDecision['answer']>;
  #scope: CancellationScope | null = null;
  #interrupted: boolean;
  #open: OpenQuestion | null;
  #decision: PermissionDecision | null = null;
  #answer: Answer | null;
  #resumes: AnsweredQuestion | undefined;
  /** Its sandbox was stopped at a question, and no other goes on with it yet. */
  #isHibernated: boolean;

  constructor({
    turn,
    prompt,
    answer = null,
    interrupted = false,
    early = [],
    open,
    resumes,
  }: Partial<CarriedTurn> & Pick<CarriedTurn, 'turn' | 'prompt'>) {
    this.turn = turn;
    this.#prompt = prompt;
    this.#answer = answer;
    this.#interrupted = interrupted;
    this.#early = new Map(early);
    this.#open = open ?? null;
    this.#resumes = resumes;
    this.#isHibernated = open !== undefined;
  }

  get prompt(): PromptRef {
    return this.#prompt;
  }

  get isHibernated(): boolean {
    return this.#isHibernated;
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
    if (question === this.#open?.question.id) return this.#decision === null;
    return question !== this.#answer?.question && !this.#early.has(question) && this.#early.size < MAX_EARLY_ANSWERS;
  }

  answer(question: string, answer: PermissionDecision['answer']): void {
    if (question === this.#open?.question.id) this.#decision ??= { answer, by: 'user' };
    else this.#early.set(question, answer);
  }

  /** `paused`: the next run of the workflow goes on with it; `idle`: it has waited for an answer until the job hibernates. */
  async run(options: RunTurnOptions): Promise<CompletedTurn | 'paused' | 'idle'> {
    for (;;) {
      const result = await this.#attempt(options);
      if (result?.stopReason != null) return { ...result, stopReason: result.stopReason };
      if (result?.question == null) continue;
      if (!(await this.#ask(result.question, options))) return 'idle';
      if (options.pauses()) return 'paused';
    }
  }

  /** Waits for the answer to the question at which the job hibernates. Resolves to false where the turn pauses. */
  async waitHibernated(options: QuestionOptions): Promise<boolean> {
    const open = this.#open;
    if (open === null) return true;
    return this.#whileOpen(open, options, async () => {
      await this.#untilDenied(open, options.pauses);
      if (this.#decision === null && options.pauses()) return false;
      this.#decide(open.question);
      this.#resumes = { question: open.question, answer: this.#answer?.answer ?? 'deny' };
      return true;
    });
  }

  carry(): CarriedTurn {
    return {
      turn: this.turn,
      prompt: this.#prompt,
      answer: this.#answer,
      interrupted: this.#interrupted,
      early: [...this.#early],
      ...(this.#open === null ? {} : { open: this.#open }),
      ...(this.#resumes === undefined ? {} : { resumes: this.#resumes }),
    };
  }

  /** Null where it was interrupted and the worker had died, or had not begun: another then interrupts it. */
  async #attempt({ attempt }: RunTurnOptions): Promise<RunSessionResult | null> {
    const interrupt = this.#interrupted;
    const resumes = this.#resumes === undefined ? {} : { resumes: this.#resumes };
    this.#isHibernated = false;
    this.#scope = new CancellationScope();
    try {
      return await this.#scope.run(() => attempt({ answer: this.#answer, interrupt, ...resumes }));
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

  /** Waits for an answer as long as it may take, whatever becomes of the worker. Resolves to false where the job is to hibernate. */
  async #ask(question: Question, options: RunTurnOptions): Promise<boolean> {
    const early = this.#early.get(question.id);
    this.#early.delete(question.id);
    if (early !== undefined) {
      this.#answer = { question: question.id, answer: early, by: 'user' };
      return true;
    }
    const { permissionTimeoutMs, hibernateAfterMs, mayHibernate, leaves, onQuestion, onWaiting } = options;
    const open: OpenQuestion = { question, untilMs: Date.now() + permissionTimeoutMs, isListed: false };
    this.#decision = this.#interrupted ? { answer: 'deny', by: 'user' } : null;
    this.#open = open;
    onQuestion(question, open.untilMs);
    return this.#whileOpen(open, options, async () => {
      if (permissionTimeoutMs > LISTED_AFTER_MS && !(await this.#decidedWithin(LISTED_AFTER_MS, 'the job is listed as waiting'))) {
        open.isListed = true;
        onWaiting(true);
      }
      await this.#untilHibernation(Math.min(hibernateAfterMs, permissionTimeoutMs) - (open.isListed ? LISTED_AFTER_MS : 0), leaves);
      if (this.#decision === null && (leaves() || Date.now() < open.untilMs)) {
        this.#isHibernated = (await mayHibernate(question)) && this.#decision === null;
        if (this.#isHibernated) return false;
      }
      await this.#untilDenied(open);
      this.#decide(question);
      return true;
    });
  }

  /** Waits at the open question; unless `wait` resolves to false, which leaves it open, the question is closed then. */
  async #whileOpen(open: OpenQuestion, { onQuestion, onWaiting }: QuestionOptions, wait: () => Promise<boolean>): Promise<boolean> {
    let staysOpen = false;
    try {
      staysOpen = !(await wait());
      return !staysOpen;
    } finally {
      if (!staysOpen) {
        if (open.isListed) onWaiting(false);
        this.#open = null;
        onQuestion(null);
      }
    }
  }

  /** Resolves when the question is decided, when its time is over, or when the turn pauses. */
  async #untilDenied({ untilMs }: OpenQuestion, pauses = (): boolean => false): Promise<void> {
    const leftMs = untilMs - Date.now();
    if (this.#decision !== null || leftMs <= 0) return;
    await condition(() => this.#decision !== null || pauses(), leftMs, { summary: 'the question is denied (permissionTimeout)' });
  }

  async #untilHibernation(ms: number, leaves: () => boolean): Promise<void> {
    if (this.#decision !== null) return;
    const summary = 'the job hibernates unless an answer comes (hibernateAfter)';
    await condition(() => this.#decision !== null || leaves(), Math.max(1, ms), { summary });
  }

  async #decidedWithin(ms: number, summary: string): Promise<boolean> {
    if (this.#decision === null) await condition(() => this.#decision !== null, ms, { summary });
    return this.#decision !== null;
  }

  #decide({ id }: Question): void {
    this.#answer = { question: id, ...(this.#decision ?? { answer: 'deny', by: 'timeout' }) };
  }
}

/** The question at which a job hibernates, as its status has it; null where there is none. */
export function openQuestionOf(turn: CarriedTurn | null | undefined): OpenedQuestion | null {
  if (turn?.open === undefined) return null;
  const { question, untilMs } = turn.open;
  return { ...question, until: new Date(untilMs).toISOString() };
}

/** The failure of a cancelled activity holds how far the turn came. */
function resultIn({ details }: CancelledFailure): RunSessionResult | null {
  return details.find(isResult) ?? null;
}

function isResult(detail: unknown): detail is RunSessionResult {
  return typeof detail === 'object' && detail !== null && 'stopReason' in detail && 'session' in detail;
}
