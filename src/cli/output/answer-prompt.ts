import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import { ValetkeyError } from '../../contract/errors.ts';
import type { JobEvent } from '../../contract/events.ts';
import { questionText } from './question-text.ts';

type Answer = 'allow' | 'deny';

export interface AnswerPromptOptions {
  jobId: string;
  /** A terminal, where each line answers the oldest open question; any other input is not read. */
  input: Readable & { isTTY?: boolean };
  /** Sends an answer. */
  answer: (question: string, answer: Answer) => Promise<unknown>;
  /** Shows a line that is no event's. */
  show: (line: string) => void;
}

/** Asks the person at the terminal what the agent of a job may do; elsewhere it says which command answers. */
export interface AnswerPrompt {
  /** The lines that follow those of an event. */
  add(event: JobEvent): string[];
  /** What the terminal's last line asks; null: no question is open. */
  label(): string | null;
  /** Reads no more: the process can end. */
  close(): void;
}

export function createAnswerPrompt({ jobId, input, answer, show }: AnswerPromptOptions): AnswerPrompt {
  /** Ids, the oldest first. */
  let open: string[] = [];
  let reads = input.isTTY === true;
  const command = (id: string): string => `To answer: valetkey answer ${jobId} ${id} allow|deny`;
  // Without `terminal` a Ctrl-C stays a signal.
  const lines = reads ? createInterface({ input, terminal: false }) : null;
  lines?.on('line', (text) => {
    const [id] = open;
    if (id === undefined) return;
    const decision = decisionOf(text);
    if (decision === null) return show('Type y to allow it, or n to deny it.');
    open = open.slice(1);
    answer(id, decision).catch((error: unknown) => {
      show(ValetkeyError.is(error) ? `The answer was not accepted: ${error.message}` : 'The answer was not accepted.');
      if (ValetkeyError.is(error) && error.retryable) open = [id, ...open];
    });
  });
  lines?.on('close', () => {
    reads = false;
    for (const id of open) show(command(id));
  });

  return {
    add(event) {
      if (event.type === 'permission.answered') open = open.filter((id) => id !== event.id);
      if (event.type === 'turn.ended') open = [];
      if (event.type !== 'permission.asked') return [];
      open = [...open, event.id];
      const [, ...details] = questionText(event);
      return reads ? details : [...details, command(event.id)];
    },
    label: () => (reads && open.length > 0 ? 'Allow it? y/n ' : null),
    close() {
      open = [];
      lines?.close();
      if (lines !== null) input.pause();
    },
  };
}

function decisionOf(text: string): Answer | null {
  const word = text.trim().toLowerCase();
  if (word === 'y' || word === 'yes' || word === 'allow') return 'allow';
  return word === 'n' || word === 'no' || word === 'deny' ? 'deny' : null;
}
