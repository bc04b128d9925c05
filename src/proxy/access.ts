import type { KeyAccess } from '../store/requests.ts';
import type { RequestBody } from './body.ts';
import { isRefusal, refusal, type Refusal } from './refusal.ts';

export interface Attempt {
  access: KeyAccess;
  /** Null for a route without one. */
  body: RequestBody | Refusal | null;
  /** Whether the gateway knows the price of the model; true for a route that costs nothing. */
  priced: boolean;
}

/** Why a request with a known key is refused; null where it may spend. The key comes first: a dead one learns nothing else. */
export function decideAccess({ access, body, priced }: Attempt): Refusal | null {
  if (!access.usable) return refusal('key_refused', 'the key has ended');
  if (body !== null && isRefusal(body)) return body;
  if (body !== null) {
    if (!access.models.includes(body.model)) return refusal('model_not_allowed', 'the key may not use this model');
    if (!priced) return refusal('model_unpriced', 'the gateway does not know the price of this model');
    if (body.unpricedField !== null)
      return refusal('model_unpriced', `the gateway does not know the price of this value of ${body.unpricedField}`);
  }
  return null;
}
