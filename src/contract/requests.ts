import type { KeyRef } from './ref.ts';

/** What a client asks of a job that runs. Each is an update of its workflow, answered when the workflow has taken it. */
export const PROMPT_UPDATE = 'prompt';
export const INTERRUPT_UPDATE = 'interrupt';
export const ANSWER_UPDATE = 'answer';
export const ROTATE_UPDATE = 'rotateKey';

/** Stands for a prompt, or for a job’s instructions, in Temporal: the text is in the store. */
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

/** Answer of an update that the job has accepted. */
export interface UpdateAccepted {
  /** The turn that the request is about, from 1. */
  turn: number;
}

/** The key that takes the place of the job's key. */
export interface Rotated {
  /** Names the new key. */
  ref: KeyRef;
  /** Number of the new key within its job, from 1. */
  generation: number;
}

/** The updates of a job's workflow, by name: what each is called with, and what it answers. */
export interface JobUpdates {
  [PROMPT_UPDATE]: { request: PromptRequest; response: UpdateAccepted };
  [INTERRUPT_UPDATE]: { request: Record<string, never>; response: UpdateAccepted };
  [ANSWER_UPDATE]: { request: AnswerRequest; response: UpdateAccepted };
  [ROTATE_UPDATE]: { request: Record<string, never>; response: Rotated };
}

/** Signals of the workers, not of clients: the host of a sandbox is gone, or is about to go. */
export const SANDBOX_LOST_SIGNAL = 'sandboxLost';
export const LEAVE_SANDBOX_SIGNAL = 'leaveSandbox';

export interface SandboxSignal {
  /** Id of the sandbox: a job that has another by now goes on. */
  sandbox: string;
}
