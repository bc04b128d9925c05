import { ApplicationFailure } from '@temporalio/workflow';

import type { FailureCode } from '../../contract/errors.ts';
import type { PromptRef, PromptRequest } from '../../contract/requests.ts';

/** The ids of all prompts, and those that wait, go from run to run of the workflow: together they stay below 512 KB. */
export const MAX_TURNS = 1000;
const MAX_ID_CHARS = 128;
/** Of a prompt's hash: enough to tell whether the text under an id is another. */
const MARK_CHARS = 16;

/** A prompt that was given. */
interface Known {
  /** The caller's; null for one of the spec. */
  id: string | null;
  /** First characters of its hash. */
  mark: string;
}

/** A conversation as one run of the workflow hands it to the next. */
export interface CarriedConversation {
  /** Every prompt, those that ran included. */
  known: Known[];
  /** The last of them, which did not run yet. */
  waiting: PromptRef[];
}

/** The prompts of a job, each one turn, in the order in which they came. */
export class Conversation {
  readonly #known: Known[];
  readonly #waiting: PromptRef[];
  #isOpen = true;

  constructor(prompts: readonly PromptRef[], carried?: CarriedConversation) {
    this.#known = carried?.known ?? prompts.map(({ sha256 }) => ({ id: null, mark: markOf(sha256) }));
    this.#waiting = carried?.waiting ?? [...prompts];
  }

  get turns(): number {
    return this.#known.length;
  }

  get hasNext(): boolean {
    return this.#waiting.length > 0;
  }

  /** The next turn and its prompt; null where nobody has asked for one. */
  next(): { turn: number; prompt: PromptRef } | null {
    const prompt = this.#waiting.shift();
    return prompt === undefined ? null : { turn: this.turns - this.#waiting.length, prompt };
  }

  /** For whatever was sent. Throws where `add` would be wrong: a failure whose type is `job_closed` or `prompt_conflict`. */
  check({ id, sha256 }: { readonly id?: unknown; readonly sha256?: unknown }): void {
    if (typeof id !== 'string' || id.length > MAX_ID_CHARS || typeof sha256 !== 'string')
      throw refusal('invalid_spec', `a prompt has an id of at most ${MAX_ID_CHARS} characters, and a text`);
    const known = this.#known.find((prompt) => prompt.id === id);
    if (known !== undefined && known.mark !== markOf(sha256))
      throw refusal('prompt_conflict', `the prompt ${id} is there with another text`);
    if (known !== undefined) return;
    if (!this.#isOpen) throw refusal('job_closed', 'the job is ending');
    if (this.turns >= MAX_TURNS) throw refusal('job_closed', `the job has had ${MAX_TURNS} prompts`);
  }

  /** The turn of the prompt; idempotent on its id. */
  add({ id, ...prompt }: PromptRequest): number {
    const known = this.#known.findIndex((other) => other.id === id);
    if (known !== -1) return known + 1;
    this.#waiting.push(prompt);
    return this.#known.push({ id, mark: markOf(prompt.sha256) });
  }

  /** No prompt is taken from now on. */
  close(): void {
    this.#isOpen = false;
  }

  carry(): CarriedConversation {
    return { known: this.#known, waiting: this.#waiting };
  }
}

function markOf(sha256: string): string {
  return sha256.slice(0, MARK_CHARS);
}

/** What a client gets for an update that is refused. */
export function refusal(code: FailureCode, message: string): ApplicationFailure {
  return ApplicationFailure.create({ type: code, message, nonRetryable: true });
}
