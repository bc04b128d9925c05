import type { RequestBody } from '../body/request-body.ts';
import { isRefusal, refusal, type Refusal } from '../server/refusal.ts';

/** The parts of a request that decide whether it may be sent. */
export interface AccessRequest {
  /** The models that the key may use. */
  models: readonly string[];
  body: RequestBody | Refusal;
  /** The first beta that the gateway does not pass; null where there is none. */
  beta: string | null;
  /** The gateway knows the price of the model. */
  priced: boolean;
}

/** Checks whether a request with a valid key may be sent; returns null where it may, else the refusal. */
export function checkAccess({ models, body, beta, priced }: AccessRequest): Refusal | null {
  if (isRefusal(body)) return body;
  if (!models.includes(body.model)) return refusal('model_not_allowed', 'The key may not use this model.');
  if (!priced) return refusal('model_unpriced', 'The gateway does not know the price of this model.');
  if (beta !== null)
    return refusal('llm_rejected', `The gateway does not pass the beta ${beta.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, '?')}.`);
  return null;
}
