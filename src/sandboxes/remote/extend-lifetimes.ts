import type { Vendor } from './vendor.ts';

/** Extensions per lifetime: three may fail before a sandbox ends. */
const EXTENSIONS_PER_LIFETIME = 4;

/**
 * Keeps this owner's sandboxes from their end at the vendor, as long as any worker runs: after that each ends by itself within
 * `lifetimeMs`. The sweep, which workers do, ends those whose jobs are over. The returned function stops it.
 */
export function startExtending(vendor: Vendor): { close(): Promise<void> } {
  const everyMs = vendor.lifetimeMs / EXTENSIONS_PER_LIFETIME;
  let extending = Promise.resolve();
  const timer = setInterval(() => {
    // What fails is tried again the next time.
    extending = extending.then(() => extendAll(vendor, vendor.lifetimeMs - everyMs / 2)).catch(() => {});
  }, everyMs);
  timer.unref();
  return {
    async close() {
      clearInterval(timer);
      await extending;
    },
  };
}

/** Extends the running sandboxes that end within `withinMs`: another worker may have extended the others a moment ago. */
async function extendAll(vendor: Vendor, withinMs: number): Promise<void> {
  const running = (await vendor.list()).filter(({ state }) => state === 'running' || state === 'starting');
  for (const { id, endsAt } of running)
    if (endsAt === null || endsAt.getTime() - Date.now() < withinMs) await vendor.extend(id).catch(() => {});
}
