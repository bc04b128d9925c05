import { z } from 'zod';

import type { GatewayName } from '../../contract/gateway-name.ts';
import { parseJson } from '../../contract/json.ts';

const text = z.string().nullish().catch(undefined);
const limitSource = z.object({ limit_source: text }).nullish().catch(undefined);
const bodySchema = z.object({ error: z.object({ type: text, code: text, message: text, limit_source: text, metadata: limitSource }) });

/**
 * Why a gateway refuses a request for money. `spent`: the key's budget is spent. `unclear`: it is spent, or other requests of the key have
 * reserved the rest of it, which they release when they end. `held`: requests of the whole account, of any key, have reserved its credit.
 * Null for any other error, for example of an account without credit.
 */
export function readMoneyRefusal(gateway: GatewayName, status: number, body: Buffer): 'spent' | 'unclear' | 'held' | null {
  if (gateway === 'builtin' || status < 400 || status >= 500) return null;
  const { type, code, message, ...named } = bodySchema.safeParse(parseJson(body.toString())).data?.error ?? {};
  switch (gateway) {
    case 'litellm':
      // Both have the same error, and the cost that its message names includes reservations (1.106.12).
      return type === 'budget_exceeded' ? 'unclear' : null;
    case 'openrouter':
      return readOpenRouter(status, named.metadata?.limit_source ?? named.limit_source ?? null, message ?? '');
    case 'portkey':
      // 412 with a type is about an operator's policy, or the model.
      return status === 412 && code === '04' && type == null ? 'spent' : null;
  }
}

/** Documented is the status 402; live clients still see 403 with a message alone. */
function readOpenRouter(status: number, source: string | null, message: string): 'spent' | 'held' | null {
  if (status !== 402 && status !== 403) return null;
  if (source === 'openrouter_in_flight_budget') return 'held';
  return source === 'openrouter_key_limit' || (source === null && /\bkey limit exceeded\b/i.test(message)) ? 'spent' : null;
}
