/** What a client asks of a job that runs. Each is an update of its workflow, answered when the workflow has taken it. */
export const PROMPT_UPDATE = 'prompt';
export const INTERRUPT_UPDATE = 'interrupt';
export const ANSWER_UPDATE = 'answer';

export interface PromptRequest {
  /** The caller's own: the same id with the same text is the same prompt. */
  id: string;
  text: string;
}

export interface AnswerRequest {
  /** Id of the question. */
  question: string;
  answer: 'allow' | 'deny';
}

/** The turn that a request is about, from 1. */
export interface Taken {
  turn: number;
}
