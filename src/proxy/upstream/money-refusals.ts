import { z } from 'zod';

import type { GatewayName } from '../../contract/gateway-name.ts';
import { parseJson } from '../../contract/json.ts';

const bodySchema = z.object({
  error: z.object({ type: z.string().nullish().catch(undefined), message: z.string().nullish().catch(undefined) }),
});

/**
 * Why a gateway refuses a request for money. `spent`: the key's budget is spent. `unclear`: it is spent, or calls in flight have reserved
 * the rest of it, which they release when they end. Null for any other error.
 */
export function readMoneyRefusal(gateway: GatewayName, status: number, body: Buffer): 'spent' | 'unclear' | null {
  if (gateway === 'builtin' || status < 400 || status >= 500) return null;
  const { type, message } = bodySchema.safeParse(parseJson(body.toString())).data?.error ?? {};
  switch (gateway) {
    case 'litellm':
      // Both have the same error, and the costs that its message names include reservations (1.106.12).
      return type === 'budget_exceeded' ? 'unclear' : null;
    case 'openrouter':
      // 402 is also for an account without credits: the message tells.
      return (status === 402 || status === 403) && /\bkey\b.*\blimit\b/i.test(message ?? '') ? 'spent' : null;
    case 'portkey':
      return status === 412 ? 'spent' : null;
  }
}
