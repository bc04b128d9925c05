/** Why a model stopped before the end of its turn, in words of all providers. */
export type ModelStop = 'max_tokens' | 'context_length' | 'refusal' | 'content_filter' | 'pause_turn';

/**
 * By the words of the providers: `stop_reason` of Anthropic's Messages, `incomplete_details.reason` and `error.code` of OpenAI's
 * Responses, `finish_reason` of Chat Completions.
 */
const STOPS: Record<string, ModelStop> = {
  max_tokens: 'max_tokens',
  max_output_tokens: 'max_tokens',
  length: 'max_tokens',
  model_context_window_exceeded: 'context_length',
  context_length_exceeded: 'context_length',
  refusal: 'refusal',
  content_filter: 'content_filter',
  pause_turn: 'pause_turn',
};

/** Null where it stopped as it should: at the end of its turn, or to call a tool. */
export function modelStopOf(reason: string | null | undefined): ModelStop | null {
  return reason === null || reason === undefined ? null : (STOPS[reason] ?? null);
}

/** The same for an error in place of an answer. Anthropic has no code for a prompt that is too long, only these words. */
export function modelStopOfError({
  code,
  message,
}: {
  code?: string | null | undefined;
  message?: string | null | undefined;
}): ModelStop | null {
  return message?.startsWith('prompt is too long') === true ? 'context_length' : modelStopOf(code);
}
