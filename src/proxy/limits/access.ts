import type { RequestBody } from '../body/request-body.ts';
import { isRefusal, refusal, type Refusal } from '../server/refusal.ts';

export interface Attempt {
  /** Of the key. */
  models: readonly string[];
  body: RequestBody | Refusal;
  /** A beta that is not on the list; null where there is none. */
  beta: string | null;
  /** Whether the gateway knows the price of the model. */
  priced: boolean;
}

/** Why a request with a good key is refused; null where it may spend. */
export function decideAccess({ models, body, beta, priced }: Attempt): Refusal | null {
  if (isRefusal(body)) return body;
  if (!models.includes(body.model)) return refusal('model_not_allowed', 'The key may not use this model.');
  if (!priced) return refusal('model_unpriced', 'The gateway does not know the price of this model.');
  if (beta !== null)
    return refusal('llm_rejected', `The gateway does not pass the beta ${beta.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, '?')}.`);
  return null;
}
