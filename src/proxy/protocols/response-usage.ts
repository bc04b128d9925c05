import type { FailureCode } from '../../contract/errors.ts';
import type { ModelStop } from './model-stop.ts';

/** An item of an answer that costs something beside its tokens. */
export interface ToolCall {
  type: string;
  /** The container that it ran in; null where it names none. */
  container: string | null;
}

/** What an answer said about itself so far. */
export interface ResponseUsage {
  model: string | null;
  /** The provider's usage object; of an Anthropic stream the parts laid over one another. */
  usage: Record<string, unknown> | null;
  /** The usage is the provider's last word. */
  usageFinal: boolean;
  /** Of OpenAI; Anthropic states it in the usage. */
  serviceTier: string | null;
  /** `tool_usage` of OpenAI's Responses: the searches and the images that its own tools made. */
  toolUsage: Record<string, unknown> | null;
  /** The output items of OpenAI's Responses that OpenAI's own tools made. */
  toolCalls: readonly ToolCall[];
  /** The answer said that it is complete. */
  done: boolean;
  /** Why the model stopped, where that was not the end of its turn. */
  stop: ModelStop | null;
  /** The provider itself reported that it failed. */
  failure: FailureCode | null;
  /** It did for a moment, as far as it says. */
  isTransient: boolean;
  /** Something of the answer came that is no preamble: what the model said, or a failure. */
  hasBegun: boolean;
}

/** Of an answer that has not begun. */
export const NOTHING_TAPPED: Readonly<ResponseUsage> = {
  model: null,
  usage: null,
  usageFinal: false,
  serviceTier: null,
  toolUsage: null,
  toolCalls: [],
  done: false,
  stop: null,
  failure: null,
  isTransient: false,
  hasBegun: false,
};
