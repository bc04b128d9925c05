import { setTimeout as sleep } from 'node:timers/promises';

import { VendorBusy } from './vendor.ts';

const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

/**
 * Runs a request again while the vendor limits the rate: that is no failure of a job. Waits as long as the vendor asks for, else
 * ever longer, up to `maxWaitMs` altogether. Throws the vendor's last error after that, and what the request throws.
 */
export async function waitWhileBusy<T>(request: () => Promise<T>, maxWaitMs: number, signal?: AbortSignal): Promise<T> {
  const untilMs = performance.now() + maxWaitMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof VendorBusy)) throw error;
      const waitMs = error.retryAfterMs ?? pauseMs;
      if (performance.now() + waitMs > untilMs) throw error;
      await sleep(waitMs, undefined, signal && { signal });
    }
  }
}
