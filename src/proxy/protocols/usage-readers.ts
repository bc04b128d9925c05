import type { PricedUsage } from '../prices/prices.ts';
import type { Protocol } from './routes.ts';

/** A usage object of a provider, in the units of the prices. Figures that are no counts are NaN. */
export interface StatedUsage {
  inputTokens: number;
  outputTokens: number;
  priced: PricedUsage;
}

/** Reads a usage object; null where it states no tokens. */
export function readUsage(protocol: Protocol, usage: Record<string, unknown>): StatedUsage | null {
  return READERS[protocol](usage);
}

/** Whether all figures are counts of tokens, and no part is larger than its whole. */
export function isPlausible({ priced }: StatedUsage): boolean {
  if (Object.values(priced).some((figure) => figure !== undefined && !Number.isSafeInteger(figure))) return false;
  const { input_tokens: input = 0, output_tokens: output = 0, cache_read_tokens: read = 0, cache_write_tokens: written = 0 } = priced;
  const { input_audio_tokens: inputAudio = 0, output_audio_tokens: outputAudio = 0 } = priced;
  return read + written <= input && inputAudio <= input && outputAudio <= output;
}

const READERS: Record<Protocol, (usage: Record<string, unknown>) => StatedUsage | null> = {
  'anthropic-messages': (usage) => {
    if (usage['input_tokens'] === undefined || usage['output_tokens'] === undefined) return null;
    const written = count(usage['cache_creation_input_tokens']);
    const read = count(usage['cache_read_input_tokens']);
    const input = count(usage['input_tokens']) + written + read;
    const output = count(usage['output_tokens']);
    // The split is stated when a stream begins, its sum grows until the end.
    const hourLong = Math.min(written, count(object(usage['cache_creation'])['ephemeral_1h_input_tokens']));
    return stated(input, output, {
      cache_write_tokens: written,
      cache_write_1h_tokens: hourLong,
      cache_read_tokens: read,
      web_searches: count(object(usage['server_tool_use'])['web_search_requests']),
    });
  },
  'openai-responses': (usage) => {
    if (usage['input_tokens'] === undefined || usage['output_tokens'] === undefined) return null;
    const details = object(usage['input_tokens_details']);
    return stated(count(usage['input_tokens']), count(usage['output_tokens']), {
      cache_read_tokens: count(details['cached_tokens']),
      cache_write_tokens: count(details['cache_write_tokens']),
    });
  },
  'openai-chat': (usage) => {
    if (usage['prompt_tokens'] === undefined || usage['completion_tokens'] === undefined) return null;
    const details = object(usage['prompt_tokens_details']);
    return stated(count(usage['prompt_tokens']), count(usage['completion_tokens']), {
      cache_read_tokens: count(details['cached_tokens']),
      cache_write_tokens: count(details['cache_write_tokens']),
      input_audio_tokens: count(details['audio_tokens']),
      output_audio_tokens: count(object(usage['completion_tokens_details'])['audio_tokens']),
    });
  },
};

function stated(inputTokens: number, outputTokens: number, parts: PricedUsage): StatedUsage {
  return { inputTokens, outputTokens, priced: { input_tokens: inputTokens, output_tokens: outputTokens, ...parts } };
}

/** A count as JSON has it; 0 where there is none, NaN for what is no count. */
export function count(value: unknown): number {
  if (value === undefined || value === null) return 0;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : Number.NaN;
}

/** The members of a JSON object; none of anything else. */
export function object(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
