import { setTimeout as sleep } from 'node:timers/promises';

import type { Vendor } from './vendor.ts';

/** Listings without the job's sandboxes that follow each other: one may miss a sandbox that is there. */
const EMPTY_LISTINGS = 3;
const LISTING_PAUSE_MS = 500;

/** Ends all sandboxes of a job. Idempotent. Resolves when several listings in a row have none. Throws what the vendor throws. */
export async function stopRemote(vendor: Vendor, jobId: string): Promise<void> {
  for (let empty = 0; empty < EMPTY_LISTINGS;) {
    const found = (await vendor.list(jobId)).filter(({ state }) => state !== 'ended');
    for (const { id } of found) await vendor.kill(id);
    empty = found.length === 0 ? empty + 1 : 0;
    if (empty < EMPTY_LISTINGS) await sleep(LISTING_PAUSE_MS);
  }
}
