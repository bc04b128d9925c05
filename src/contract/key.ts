/**
 * minting → active → disabled → revoked. A key is `revoked` once a request with it was seen refused; it is `stuck` where its revocation was
 * tried several times and did not succeed yet.
 */
export type KeyState = (typeof KEY_STATES)[number];

/** Every state of a key. */
export const KEY_STATES = ['minting', 'active', 'disabled', 'revoked', 'stuck'] as const;

/**
 * Why a key was ended: its job ended normally (`job`), a newer key replaced it (`rotated`), a person revoked it (`revoked`), or its job closed
 * without cleanup (`terminated`: a step of the job noticed; `swept`: the sweep did).
 */
export type EndCause = 'job' | 'rotated' | 'revoked' | 'terminated' | 'swept';

/** Two keys of a job during a rotation, when the newer one is already in the sandbox. */
export interface Overlap {
  /** The newer key was used. */
  isNewUsed: boolean;
  /** The number of open requests with the older key. */
  oldRequests: number;
  /** ms since the newer key was written into the sandbox. */
  sinceBoundMs: number;
  /** ms since the last request with the older key began; null when there was none. */
  sinceOldUsedMs: number | null;
}
