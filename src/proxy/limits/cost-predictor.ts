import type { KeyAccess } from '../../store/requests.ts';
import { boundCost } from '../prices/charge.ts';
import type { ModelPrice } from '../prices/prices.ts';
import type { Protocol } from '../protocols/routes.ts';

/** The properties of a key's last request that its cost depends on. */
export interface LastRequest {
  key: Pick<KeyAccess, 'ref' | 'jobId' | 'tenant' | 'credential' | 'upstreamSealed'>;
  protocol: Protocol;
  price: ModelPrice;
  maxOutputTokens: number | null;
  choices: number;
  images: number;
  documents: boolean;
}

const MAX_KEYS = 10_000;

/**
 * Predicts the highest cost of a request from its size and the last request of its key, so that the key is looked up and the request
 * reserved in one round trip. Where the prediction is too low, the request is reserved again once its body is read; no request is sent
 * on a prediction alone.
 */
export class CostPredictor {
  readonly #last = new Map<string, LastRequest>();

  /** Returns the key and the predicted USD; null where no request of the key is known. `bytes` is the body's stated size. */
  predict(keyHash: string, protocol: Protocol, bytes: number): { key: LastRequest['key']; usd: number } | null {
    const last = this.#last.get(keyHash);
    if (last === undefined || last.protocol !== protocol || !Number.isSafeInteger(bytes)) return null;
    return { key: last.key, usd: boundCost(last.price, { ...last, bytes }).usd };
  }

  /** Stores the last request of a key. */
  remember(keyHash: string, request: LastRequest): void {
    for (const oldest of this.#last.keys()) {
      if (this.#last.size < MAX_KEYS) break;
      this.#last.delete(oldest);
    }
    this.#last.set(keyHash, request);
  }

  /** Removes a key that has ended or has changed. */
  forget(keyHash: string): void {
    this.#last.delete(keyHash);
  }
}
