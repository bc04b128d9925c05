import { appendToJournal, readJournal } from './journal.ts';

/**
 * The worker’s requests and the agent’s answers, by request id. Any worker may post the same request again: it reaches the agent
 * once, and where it was answered it gets the same answer again. This memory lasts as long as the agent’s process, as the
 * conversation does; prompts and their answers are also in a journal, which the next process reads.
 */
export class Requests {
  readonly #journal: string;
  /** The answer as it arrived; null while the request is open. */
  readonly #answers: Map<unknown, string | null>;
  readonly #prompts = new Set<unknown>();
  #load: unknown = undefined;

  constructor(journal: string) {
    this.#journal = journal;
    this.#answers = readJournal(journal);
  }

  /** Adds a request. Returns the answer to one that was answered before, null for one that is open already, undefined for a new one. */
  add(id: unknown, method: unknown): string | null | undefined {
    const answer = this.#answers.get(id);
    if (answer !== undefined) return answer;
    this.#answers.set(id, null);
    if (method === 'session/load') this.#load = id;
    return undefined;
  }

  /** Records that a prompt was received; false where that could not be written. */
  recordPrompt(id: unknown): boolean {
    this.#prompts.add(id);
    return appendToJournal(this.#journal, { id });
  }

  isOpen(id: unknown): boolean {
    return this.#answers.get(id) === null;
  }

  /** The agent loads a session; it repeats the session’s updates, which were sent before. */
  isLoading(): boolean {
    return this.isOpen(this.#load);
  }

  recordAnswer(id: unknown, answer: string): void {
    this.#answers.set(id, answer);
    if (this.#prompts.delete(id)) appendToJournal(this.#journal, { id, answer });
  }

  /** Returns the id of the open request that an unreadable message answers, by the message’s beginning; undefined where there is none. */
  findAnswered(head: string): unknown {
    if (head.includes('"method"')) return undefined;
    const fields = head.replaceAll(/\s/g, '');
    return [...this.#answers].find(([id, answer]) => answer === null && fields.includes(`"id":${JSON.stringify(id)}`))?.[0];
  }
}
