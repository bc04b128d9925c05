import type { IncomingHttpHeaders } from 'node:http';

/**
 * Reads the delay in ms that an answer asks its caller to wait: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date. Null
 * where neither can be read. `nowMs` is the time of the wall clock.
 */
export function retryAfterMs(headers: IncomingHttpHeaders, nowMs: number): number | null {
  const ms = Number.parseFloat(String(headers['retry-after-ms']));
  if (Number.isFinite(ms) && ms >= 0) return ms;
  const stated = headers['retry-after'];
  if (stated === undefined) return null;
  if (/^\s*\d+(\.\d+)?\s*$/.test(stated)) return Number(stated) * 1000;
  const atMs = Date.parse(stated);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}
