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
/** From the end of a key on, the analytics have this long; then the best known figure is final. */
export const GIVE_UP_AFTER_MS = 60_000;
/** The analytics may state whole cents. */
const ROUNDING_USD = 0.01;

/**
 * Reads what a revoked key has spent. Throws `gateway_unreachable` while the figure is not final. The tokens and the number of requests are always the proxy's own: Portkey's analytics are asked for
 * the cost only.
 *
 * The analytics lag, so their figure counts as complete once it reaches what the proxy has certainly metered, its estimates excluded. A
 * figure that stays lower is legitimate, too, where Portkey's price is: so after a minute it is final, and a zero, which means a model
 * without a price, gives way to the proxy's own figure. Where the analytics are refused (not every plan and key has them), the
 * proxy's figure is final at once.
 */
export async function readSpend(api: Analytics, { ref, id }: GatewayKey, metered: MeteredUsage): Promise<Usage> {
  // The proxy sends a key only with the id that the ledger has: without one, nothing was spent at Portkey.
  const usd = id === null ? metered.usd : await settle(api, { ref, id }, metered);
  const { inputTokens, outputTokens, requests } = metered;
  return { inputTokens, outputTokens, requests, usd: roundUsd(usd) };
}

type Analytics = Pick<PortkeyApi, 'spentUsd'>;

async function settle(
  api: Analytics,
  { ref, id }: { ref: KeyRef; id: string },
  { usd: meteredUsd, estimatedUsd, sinceEndMs }: MeteredUsage,
): Promise<number> {
  const startedMs = performance.now();
  const isLast = sinceEndMs >= GIVE_UP_AFTER_MS;
  const certainUsd = meteredUsd - estimatedUsd;
  for (;;) {
    const spentUsd = await ask(api, id, isLast);
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
async function ask(api: Analytics, id: string, isLast: boolean): Promise<number | null> {
  try {
    return await api.spentUsd(id);
  } catch (error) {
    if (isLast && codeOf(error) !== 'gateway_refused') return null;
    throw error;
  }
}
