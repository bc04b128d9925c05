import type { KeyRef } from './ref.ts';

/** What a client asks of a job that runs. Each is an update of its workflow, answered when the workflow has taken it. */
export const PROMPT_UPDATE = 'prompt';
export const INTERRUPT_UPDATE = 'interrupt';
export const ANSWER_UPDATE = 'answer';
export const ROTATE_UPDATE = 'rotateKey';

/** Stands for a prompt in Temporal: its text is in the store. */
export interface PromptRef {
  /** Hex, of the text in UTF-8. */
  sha256: string;
  bytes: number;
  /** Its first words, for whoever reads the history. */
  words: string;
}

export interface PromptRequest extends PromptRef {
  /** The caller's own: the same id with the same text is the same prompt. */
  id: string;
}

export interface AnswerRequest {
  /** Id of the question. */
  question: string;
  /** In which it was asked. */
  turn: number;
  answer: 'allow' | 'deny';
}

/** The turn that a request is about, from 1. */
export interface Taken {
  turn: number;
}

/** The key that takes the place of the job's key. */
export interface Rotated {
  ref: KeyRef;
  generation: number;
}

/** A signal of the workers, not of clients: the host of a sandbox is gone. */
export const SANDBOX_LOST_SIGNAL = 'sandboxLost';

export interface LostSandbox {
  /** Id of the sandbox: a job that has another by now goes on. */
  sandbox: string;
}
