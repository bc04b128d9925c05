import type { PromptRef, PromptRequest } from '../../contract/requests.ts';
import { rejection } from '../reject.ts';

/** The ids of all prompts, and those that wait, go from run to run of the workflow: together they stay below 512 KB. */
export const MAX_TURNS = 1000;
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

  /** Throws where `add` would be wrong: a failure whose type is `job_closed` or `prompt_conflict`. */
  check({ id, sha256 }: Pick<PromptRequest, 'id' | 'sha256'>): void {
    const known = this.#known.find((prompt) => prompt.id === id);
    if (known !== undefined && known.mark !== markOf(sha256))
      throw rejection('prompt_conflict', `the prompt ${id} is there with another text`);
    if (known !== undefined) return;
    if (!this.#isOpen) throw rejection('job_closed', 'the job is ending');
    if (this.turns >= MAX_TURNS) throw rejection('job_closed', `the job has had ${MAX_TURNS} prompts`);
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
