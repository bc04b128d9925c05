import { z } from 'zod';

import type { GatewayName } from '../../contract/gateway-name.ts';
import { parseJson } from '../../contract/json.ts';

const bodySchema = z.object({
  error: z.object({ type: z.string().nullish().catch(undefined), message: z.string().nullish().catch(undefined) }),
});

/** A key is refused as over its budget below this part of it, where calls in flight hold the rest. */
const SPENT_RATIO = 0.95;

/**
 * Why a gateway refuses a request for money. `spent`: the key's budget is spent. `held`: calls in flight have reserved the rest of it, so a
 * retry may succeed. Null for any other error.
 */
export function readMoneyRefusal(gateway: GatewayName, status: number, body: Buffer): 'spent' | 'held' | null {
  if (gateway === 'builtin' || status < 400 || status >= 500) return null;
  const { type, message } = bodySchema.safeParse(parseJson(body.toString())).data?.error ?? {};
  switch (gateway) {
    case 'litellm':
      return type === 'budget_exceeded' ? heldOrSpent(message ?? '') : null;
    case 'openrouter':
      // 402 is also for an account without credits: the message tells.
      return (status === 402 || status === 403) && /\bkey\b.*\blimit\b/i.test(message ?? '') ? 'spent' : null;
    case 'portkey':
      return status === 412 ? 'spent' : null;
  }
}

/** LiteLLM names both figures: "Current cost: 0.0005, Max budget: 0.5". */
function heldOrSpent(message: string): 'spent' | 'held' {
  const [, cost = '', budget = ''] = /Current cost: ([\d.e-]+), Max budget: ([\d.e-]+)/i.exec(message) ?? [];
  return Number(cost) < Number(budget) * SPENT_RATIO ? 'held' : 'spent';
}
