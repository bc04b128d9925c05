/** Why a model stopped before the end of its turn, in names that all providers share here. */
export type ModelStop = 'max_tokens' | 'context_length' | 'refusal' | 'content_filter' | 'pause_turn';

/**
 * The providers' own names: `stop_reason` of Anthropic's Messages, `incomplete_details.reason` and `error.code` of OpenAI's Responses,
 * `finish_reason` of Chat Completions.
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

/** Maps a provider's stop reason; null where the model stopped normally, at the end of its turn or for a tool call. */
export function modelStopOf(reason: string | null | undefined): ModelStop | null {
  return reason === null || reason === undefined ? null : (STOPS[reason] ?? null);
}

/** Maps an error that a provider sends instead of an answer. Anthropic has no code for a prompt that is too long, only this message. */
export function modelStopOfError({
  code,
  message,
}: {
  code?: string | null | undefined;
  message?: string | null | undefined;
}): ModelStop | null {
  return message?.startsWith('prompt is too long') === true ? 'context_length' : modelStopOf(code);
}
