/** From then on a login is refreshed beside the requests, which still send its access token. */
const REFRESH_AHEAD_MS = 120_000;
/** From then on a request waits for the refresh: the access token would expire on its way. */
const WAIT_AHEAD_MS = 10_000;
/** A provider that refuses an access token this soon after it was issued refuses the next one, too. */
const MIN_REFRESHED_AGE_MS = 60_000;

/** What of a login the decisions depend on. */
export interface LoginTimes {
  /** Epoch ms; null where the access token does not expire, or that is unknown. */
  expiresAtMs: number | null;
  hasRefreshToken: boolean;
}

/**
 * Decides what a request does with a login. `send`: it sends the access token. `send-and-refresh`: it does so while the login is refreshed.
 * `wait`: it waits for the refresh. `end`: the login is over.
 */
export type LoginUse = { action: 'send' | 'send-and-refresh' | 'wait' } | { action: 'end'; reason: 'expired' };

export function decideLoginUse({ expiresAtMs, hasRefreshToken }: LoginTimes, nowMs: number): LoginUse {
  const leftMs = expiresAtMs === null ? Infinity : expiresAtMs - nowMs;
  if (!hasRefreshToken) return leftMs > 0 ? { action: 'send' } : { action: 'end', reason: 'expired' };
  if (leftMs > REFRESH_AHEAD_MS) return { action: 'send' };
  return { action: leftMs > WAIT_AHEAD_MS ? 'send-and-refresh' : 'wait' };
}

/** Decides whether a refresh may help after the provider refused an access token that has not expired. */
export function decideRenewal(
  { hasRefreshToken, isRefreshed, storedAtMs }: { hasRefreshToken: boolean; isRefreshed: boolean; storedAtMs: number },
  nowMs: number,
): { action: 'refresh' } | { action: 'give-up'; reason: 'no-refresh-token' | 'just-refreshed' } {
  if (!hasRefreshToken) return { action: 'give-up', reason: 'no-refresh-token' };
  if (isRefreshed && nowMs - storedAtMs < MIN_REFRESHED_AGE_MS) return { action: 'give-up', reason: 'just-refreshed' };
  return { action: 'refresh' };
}
