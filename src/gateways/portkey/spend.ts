import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, ValetkeyError } from '../../contract/errors.ts';
import { roundUsd } from '../../contract/money.ts';
import type { KeyRef } from '../../contract/ref.ts';
import type { Usage } from '../../contract/result.ts';
import type { GatewayKey, MeteredUsage } from '../gateway.ts';
import type { PortkeyApi } from './api.ts';

/** One read waits this long for the analytics, of which no lag is documented. */
const WAIT_MS = 8_000;
const POLL_INTERVAL_MS = 1_000;
/** From the first read of a key's spend on, the analytics have this long; then the best known figure is final. */
export const GIVE_UP_AFTER_MS = 60_000;
/** The analytics may state whole cents. */
const ROUNDING_USD = 0.01;
/** How long the time of a first read is remembered where another worker has settled the key. */
const FORGET_AFTER_MS = 3_600_000;

/**
 * Reads what revoked keys have spent. The tokens and the number of requests are always the proxy's own: Portkey's analytics are asked for
 * the cost only.
 *
 * The analytics lag, so their figure counts as complete once it reaches what the proxy has certainly metered, its estimates excluded. A
 * figure that stays lower is legitimate, too, where Portkey's price is: so after a minute it is final, and a zero, which means a model
 * without a price, gives way to the proxy's own figure. The minute begins when this process is first asked: a process that restarts, or
 * another worker, begins a new one, and none waits for longer. Where the analytics are refused (not every plan and key has them), the
 * proxy's figure is final at once.
 */
export class SpendReader {
  readonly #api: Pick<PortkeyApi, 'spentUsd'>;
  readonly #firstReadMs = new Map<KeyRef, number>();

  constructor(api: Pick<PortkeyApi, 'spentUsd'>) {
    this.#api = api;
  }

  /** Throws `gateway_unreachable` while the figure is not final. */
  async read({ ref, id }: GatewayKey, metered: MeteredUsage): Promise<Usage> {
    // The proxy sends a key only with the id that the ledger has: without one, nothing was spent at Portkey.
    const usd = id === null ? metered.usd : await this.#settle(ref, id, metered);
    this.#firstReadMs.delete(ref);
    const { inputTokens, outputTokens, requests } = metered;
    return { inputTokens, outputTokens, requests, usd: roundUsd(usd) };
  }

  async #settle(ref: KeyRef, id: string, { usd: meteredUsd, estimatedUsd }: MeteredUsage): Promise<number> {
    const startedMs = performance.now();
    const isLast = startedMs - this.#rememberFirstRead(ref, startedMs) >= GIVE_UP_AFTER_MS;
    const certainUsd = meteredUsd - estimatedUsd;
    for (;;) {
      const spentUsd = await this.#ask(id, isLast);
      if (spentUsd === null || (isLast && spentUsd === 0)) return meteredUsd;
      if (isLast) return spentUsd;
      const isOver = performance.now() - startedMs >= WAIT_MS;
      // What the proxy could only estimate may still be missing from the analytics, so it is given the whole wait.
      if (spentUsd + ROUNDING_USD > certainUsd && (estimatedUsd === 0 || isOver)) return Math.max(spentUsd, certainUsd);
      if (isOver) throw new ValetkeyError('gateway_unreachable', `Portkey’s analytics do not have all requests of the key ${ref} yet.`);
      await sleep(POLL_INTERVAL_MS);
    }
  }

  /** Resolves to null where the analytics are unavailable; an outage counts as that only in the last read. */
  async #ask(id: string, isLast: boolean): Promise<number | null> {
    try {
      return await this.#api.spentUsd(id);
    } catch (error) {
      if (isLast && codeOf(error) !== 'gateway_refused') return null;
      throw error;
    }
  }

  #rememberFirstRead(ref: KeyRef, nowMs: number): number {
    for (const [other, atMs] of this.#firstReadMs) if (nowMs - atMs > FORGET_AFTER_MS) this.#firstReadMs.delete(other);
    const atMs = this.#firstReadMs.get(ref) ?? nowMs;
    this.#firstReadMs.set(ref, atMs);
    return atMs;
  }
}
