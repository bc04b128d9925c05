import type { ResponseUsage } from '../protocols/response-usage.ts';
import { readCount, readObject } from '../protocols/usage-readers.ts';
import type { ModelPrice, Prices } from './prices.ts';

/** USD for each container of a code interpreter (developers.openai.com, pricing of built-in tools). */
const CONTAINER_USD = 0.03;
/** The price of an image is that of this model: OpenAI does not state the model, and this one is the most expensive default of the tool. */
const IMAGE_MODEL = 'gpt-image-1.5';

/** Returns the USD of OpenAI's own tools in an answer, in addition to the model's tokens; NaN where a figure is not a count. */
export function toolUsd(
  prices: Prices,
  price: ModelPrice,
  { toolUsage, toolCalls }: Pick<ResponseUsage, 'toolUsage' | 'toolCalls'>,
): number {
  if (toolUsage === null && toolCalls.length === 0) return 0;
  const callsOf = (type: string) => toolCalls.filter((call) => call.type === type);
  const webSearches = readObject(toolUsage?.['web_search'])['num_requests'];
  const searches = {
    web_searches: webSearches === undefined || webSearches === null ? callsOf('web_search_call').length : readCount(webSearches),
    storage_searches: callsOf('file_search_call').length,
  };
  // A call without a container id had a container of its own.
  const containers = new Set(callsOf('code_interpreter_call').map(({ container }, index) => container ?? index));
  return price.usd(searches) + containers.size * CONTAINER_USD + imagesUsd(prices, readObject(toolUsage?.['image_gen']));
}

/** Prices text and image tokens alike, at the higher of their two rates. */
function imagesUsd(prices: Prices, usage: Record<string, unknown>): number {
  const [input, output] = [readCount(usage['input_tokens']), readCount(usage['output_tokens'])];
  if (input === 0 && output === 0) return 0;
  return prices.find('openai-responses', IMAGE_MODEL)?.worstCaseUsd(input, output) ?? Number.NaN;
}
