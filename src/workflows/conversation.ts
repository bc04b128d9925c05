import { ApplicationFailure } from '@temporalio/workflow';

import type { FailureCode } from '../job/errors.ts';
import type { PromptRequest } from '../job/requests.ts';

/** Each prompt stays in the history of the workflow, which has an end. */
const MAX_TURNS = 200;

/** The prompts of a job, each one turn, in the order in which they came. */
export class Conversation {
  readonly #prompts: { id: string | null; text: string }[];
  #begun = 0;
  #isOpen = true;

  constructor(prompts: readonly string[]) {
    this.#prompts = prompts.map((text) => ({ id: null, text }));
  }

  get turns(): number {
    return this.#prompts.length;
  }

  get hasNext(): boolean {
    return this.#begun < this.#prompts.length;
  }

  /** The next turn and its prompt; null where nobody has asked for one. */
  next(): { turn: number; prompt: string } | null {
    const prompt = this.#prompts[this.#begun];
    if (prompt === undefined) return null;
    this.#begun += 1;
    return { turn: this.#begun, prompt: prompt.text };
  }

  /** For whatever was sent. Throws where `add` would be wrong: a failure whose type is `job_closed` or `prompt_conflict`. */
  check({ id, text }: { readonly id?: unknown; readonly text?: unknown }): void {
    if (typeof id !== 'string' || typeof text !== 'string') throw refusal('invalid_spec', 'a prompt has an id and a text');
    const known = this.#prompts.find((prompt) => prompt.id === id);
    if (known !== undefined && known.text !== text) throw refusal('prompt_conflict', `the prompt ${id} is there with another text`);
    if (known !== undefined) return;
    if (!this.#isOpen) throw refusal('job_closed', 'the job is ending');
    if (this.turns >= MAX_TURNS) throw refusal('job_closed', `the job has had ${MAX_TURNS} prompts`);
  }

  /** The turn of the prompt; idempotent on its id. */
  add({ id, text }: PromptRequest): number {
    const known = this.#prompts.findIndex((prompt) => prompt.id === id);
    return known === -1 ? this.#prompts.push({ id, text }) : known + 1;
  }

  /** No prompt is taken from now on. */
  close(): void {
    this.#isOpen = false;
  }
}

/** What a client gets for an update that is refused. */
export function refusal(code: FailureCode, message: string): ApplicationFailure {
  return ApplicationFailure.create({ type: code, message, nonRetryable: true });
}
