import type { ResponseUsage } from '../protocols/response-usage.ts';
import { count, object } from '../protocols/usage-readers.ts';
import type { ModelPrice, Prices } from './prices.ts';

/** USD for each container that a code interpreter ran in (developers.openai.com, pricing of built-in tools). */
const CONTAINER_USD = 0.03;
/** OpenAI does not say which model made an image: this is its dearest by the token that the tool uses unless told. */
const IMAGE_MODEL = 'gpt-image-1.5';

/** USD of what the tools of OpenAI did for an answer, beside the model's own tokens. NaN for figures that are no counts. */
export function toolUsd(
  prices: Prices,
  price: ModelPrice,
  { toolUsage, toolCalls }: Pick<ResponseUsage, 'toolUsage' | 'toolCalls'>,
): number {
  if (toolUsage === null && toolCalls.length === 0) return 0;
  const callsOf = (type: string) => toolCalls.filter((call) => call.type === type);
  const webSearches = object(toolUsage?.['web_search'])['num_requests'];
  const searches = {
    web_searches: webSearches === undefined || webSearches === null ? callsOf('web_search_call').length : count(webSearches),
    storage_searches: callsOf('file_search_call').length,
  };
  // A call that names no container had one of its own.
  const containers = new Set(callsOf('code_interpreter_call').map(({ container }, index) => container ?? index));
  return price.usd(searches) + containers.size * CONTAINER_USD + imagesUsd(prices, object(toolUsage?.['image_gen']));
}

/** Text and pixels alike at the dearer of their prices. */
function imagesUsd(prices: Prices, usage: Record<string, unknown>): number {
  const [input, output] = [count(usage['input_tokens']), count(usage['output_tokens'])];
  if (input === 0 && output === 0) return 0;
  return prices.find('openai-responses', IMAGE_MODEL)?.worstCaseUsd(input, output) ?? Number.NaN;
}
