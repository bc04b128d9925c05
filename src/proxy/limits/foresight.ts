import type { KeyAccess } from '../../store/requests.ts';
import { reserve } from '../prices/charge.ts';
import type { ModelPrice } from '../prices/prices.ts';
import type { Protocol } from '../protocols/routes.ts';

/** What a request of a key was like. */
export interface LastRequest {
  key: Pick<KeyAccess, 'ref' | 'jobId' | 'tenant'>;
  protocol: Protocol;
  price: ModelPrice;
  maxOutputTokens: number | null;
  choices: number;
  images: number;
  documents: boolean;
}

const MAX_KEYS = 10_000;

/**
 * Foresees what a request can cost from its size and the one before of its key, so that it is looked up and reserved in one round trip. What
 * was foreseen wrongly is reserved again once the body is read; nothing is sent on a guess.
 */
export class Foresight {
  readonly #last = new Map<string, LastRequest>();

  /** Of which key it is, and USD; null where nothing is known. `bytes`: of the body, as the request states it. */
  foresee(keyHash: string, protocol: Protocol, bytes: number): { key: LastRequest['key']; usd: number } | null {
    const last = this.#last.get(keyHash);
    if (last === undefined || last.protocol !== protocol || !Number.isSafeInteger(bytes)) return null;
    return { key: last.key, usd: reserve(last.price, { ...last, bytes }).usd };
  }

  /** Remembers what was right for a key. */
  learn(keyHash: string, request: LastRequest): void {
    for (const oldest of this.#last.keys()) {
      if (this.#last.size < MAX_KEYS) break;
      this.#last.delete(oldest);
    }
    this.#last.set(keyHash, request);
  }

  /** Of a key that has ended, or is another than it was. */
  forget(keyHash: string): void {
    this.#last.delete(keyHash);
  }
}
