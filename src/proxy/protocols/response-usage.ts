import type { FailureCode } from '../../contract/errors.ts';
import type { ModelStop } from './model-stop.ts';

/** A tool call in an answer that has a price of its own. */
export interface PricedToolCall {
  type: string;
  /** The container that it ran in; null where the call names none. */
  container: string | null;
}

/** What an answer has stated about itself so far. */
export interface ResponseUsage {
  model: string | null;
  /** The provider's usage object; for an Anthropic stream, its parts merged. */
  usage: Record<string, unknown> | null;
  /** The usage is the provider's final one. */
  usageFinal: boolean;
  /** OpenAI's service tier; Anthropic states the tier in the usage. */
  serviceTier: string | null;
  /** `tool_usage` of OpenAI's Responses: the searches and images of OpenAI's own tools. */
  toolUsage: Record<string, unknown> | null;
  /** The output items of OpenAI's Responses that come from OpenAI's own tools. */
  toolCalls: readonly PricedToolCall[];
  /** The answer has stated that it is complete. */
  done: boolean;
  /** Why the model stopped before the end of its turn; null where it did not. */
  stop: ModelStop | null;
  /** The failure that the provider itself reported; null where it reported none. */
  failure: FailureCode | null;
  /** The reported failure is transient: a retry may succeed. */
  isTransient: boolean;
  /** Content other than the preamble has arrived: the model's output, or a failure. */
  hasBegun: boolean;
}

/** The usage of an answer that has not begun. */
export const NO_USAGE: Readonly<ResponseUsage> = {
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
