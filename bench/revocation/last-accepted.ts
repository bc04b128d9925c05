/** A request of the traffic. */
export interface Sent {
  /** When it was sent, ms of `performance.now()`. */
  atMs: number;
  isAccepted: boolean;
}

/** How long after its revocation a key was accepted, ms. */
export interface Revoked {
  /** To the sending of the last request that was accepted; 0 where all of those had been sent before. */
  lastAcceptedMs: number;
  /** To the sending of the first request after it: the truth lies between the two. Null where there was none. */
  refusedFromMs: number | null;
}

/** Throws where the traffic says nothing: no request was accepted before the revocation. */
export function lastAccepted(traffic: readonly Sent[], revokedAtMs: number): Revoked {
  const sent = traffic.toSorted((a, b) => a.atMs - b.atMs);
  const last = sent.findLast(({ isAccepted }) => isAccepted);
  if (last === undefined || !sent.some(({ atMs, isAccepted }) => isAccepted && atMs < revokedAtMs))
    throw new Error('No request was accepted before the revocation.');
  const next = sent.find(({ atMs }) => atMs > last.atMs && atMs > revokedAtMs);
  return {
    lastAcceptedMs: Math.max(0, last.atMs - revokedAtMs),
    refusedFromMs: next === undefined ? null : next.atMs - revokedAtMs,
  };
}
