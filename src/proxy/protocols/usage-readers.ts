import type { PricedUsage } from '../prices/prices.ts';
import type { Protocol } from './routes.ts';

/** A provider's usage object in the units of the prices. A figure that is not a count is NaN. */
export interface StatedUsage {
  inputTokens: number;
  outputTokens: number;
  priced: PricedUsage;
}

/** Reads a usage object; null where it states no tokens. */
export function readUsage(protocol: Protocol, usage: Record<string, unknown>): StatedUsage | null {
  return READERS[protocol](usage);
}

/** Returns whether all figures are counts, and no part is larger than its whole. */
export function isPlausible({ priced }: StatedUsage): boolean {
  if (Object.values(priced).some((figure) => figure !== undefined && !Number.isSafeInteger(figure))) return false;
  const { input_tokens: input = 0, output_tokens: output = 0, cache_read_tokens: read = 0, cache_write_tokens: written = 0 } = priced;
  const { input_audio_tokens: inputAudio = 0, output_audio_tokens: outputAudio = 0 } = priced;
  return read + written <= input && inputAudio <= input && outputAudio <= output;
}

const READERS: Record<Protocol, (usage: Record<string, unknown>) => StatedUsage | null> = {
  'anthropic-messages': (usage) => {
    if (usage['input_tokens'] === undefined || usage['output_tokens'] === undefined) return null;
    const written = readCount(usage['cache_creation_input_tokens']);
    const read = readCount(usage['cache_read_input_tokens']);
    const input = readCount(usage['input_tokens']) + written + read;
    const output = readCount(usage['output_tokens']);
    // The split is stated at the start of a stream, while the sum grows until its end.
    const hourLong = Math.min(written, readCount(readObject(usage['cache_creation'])['ephemeral_1h_input_tokens']));
    return stated(input, output, {
      cache_write_tokens: written,
      cache_write_1h_tokens: hourLong,
      cache_read_tokens: read,
      web_searches: readCount(readObject(usage['server_tool_use'])['web_search_requests']),
    });
  },
  'openai-responses': (usage) => {
    if (usage['input_tokens'] === undefined || usage['output_tokens'] === undefined) return null;
    const details = readObject(usage['input_tokens_details']);
    return stated(readCount(usage['input_tokens']), readCount(usage['output_tokens']), {
      cache_read_tokens: readCount(details['cached_tokens']),
      cache_write_tokens: readCount(details['cache_write_tokens']),
    });
  },
  'openai-chat': (usage) => {
    if (usage['prompt_tokens'] === undefined || usage['completion_tokens'] === undefined) return null;
    const details = readObject(usage['prompt_tokens_details']);
    return stated(readCount(usage['prompt_tokens']), readCount(usage['completion_tokens']), {
      cache_read_tokens: readCount(details['cached_tokens']),
      cache_write_tokens: readCount(details['cache_write_tokens']),
      input_audio_tokens: readCount(details['audio_tokens']),
      output_audio_tokens: readCount(readObject(usage['completion_tokens_details'])['audio_tokens']),
    });
  },
};

function stated(inputTokens: number, outputTokens: number, parts: PricedUsage): StatedUsage {
  return { inputTokens, outputTokens, priced: { input_tokens: inputTokens, output_tokens: outputTokens, ...parts } };
}

/** Reads a count from JSON: 0 where it is absent, NaN where it is not a count. */
export function readCount(value: unknown): number {
  if (value === undefined || value === null) return 0;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : Number.NaN;
}

/** Reads an object from JSON: empty where the value is anything else. */
export function readObject(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
