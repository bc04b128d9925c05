import { z } from 'zod';

import { streamedAnswer, wholeAnswer, type Stated } from '../proxy/answers.ts';
import type { Order } from './order.ts';

/** More than 32 bits hold. */
const HUGE_TOKENS = 2 ** 31 + 5_000;
const eventSchema = z.looseObject({ usage: z.unknown().optional(), response: z.looseObject({}).optional() });

/** An answer to an order, as one JSON object. */
export function wholeFor(path: string, order: Order): object {
  const form = formOf(order);
  return wholeAnswer(path, { ...statedBy(path, order), ...(form === null ? {} : { more: form }) });
}

/** The same as server-sent events: what comes before the text, a piece of text, and what comes after it. */
export function streamFor(path: string, order: Order): { begin: string[]; piece: string; end: string[] } {
  const { text, usage } = streamedAnswer(path, statedBy(path, order));
  const form = formOf(order);
  return { begin: text.slice(0, -1), piece: text.at(-1) ?? '', end: form === null ? usage : usage.map((event) => withForm(event, form)) };
}

function statedBy(path: string, { inputTokens, fetchedTokens, hiddenTokens, visibleTokens, usage }: Order): Stated {
  const stated = { inputTokens: inputTokens + fetchedTokens, outputTokens: hiddenTokens + visibleTokens };
  return usage === 'huge' ? { ...stated, usage: hugeUsage(path) } : stated;
}

function hugeUsage(path: string): object {
  if (path.startsWith('/v1/messages')) return { cache_read_input_tokens: HUGE_TOKENS };
  const [input, details] = path.startsWith('/v1/responses')
    ? (['input_tokens', 'input_tokens_details'] as const)
    : (['prompt_tokens', 'prompt_tokens_details'] as const);
  return { [input]: HUGE_TOKENS + 1_000, [details]: { cached_tokens: HUGE_TOKENS } };
}

/** What replaces the usage; null where it is stated. */
function formOf({ usage }: Order): { usage: object | null | undefined } | null {
  if (usage === 'null') return { usage: null };
  if (usage === 'missing') return { usage: undefined };
  return usage === 'empty' ? { usage: {} } : null;
}

function withForm(event: string, form: { usage: object | null | undefined }): string {
  const at = event.indexOf('data: {');
  if (at < 0) return event;
  const data = eventSchema.parse(JSON.parse(event.slice(at + 'data: '.length)));
  const changed = 'response' in data ? { ...data, response: { ...data.response, ...form } } : 'usage' in data ? { ...data, ...form } : data;
  return `${event.slice(0, at)}data: ${JSON.stringify(changed)}\n\n`;
}
