/**
 * minting → active → disabled → revoked. A key is `revoked` once a request with it was seen refused; it is `stuck` where its revocation was
 * tried several times and did not succeed yet.
 */
export type KeyState = 'minting' | 'active' | 'disabled' | 'revoked' | 'stuck';

/**
 * Why a key was ended: its job ended by itself (`job`), a newer key took its place, somebody revoked it, or its job is gone
 * (`terminated`: noticed by a step of it, `swept`: by the sweep).
 */
export type EndCause = 'job' | 'rotated' | 'revoked' | 'terminated' | 'swept';

/** Two keys of a job, of which the newer is in the sandbox. */
export interface Overlap {
  /** The newer key was used. */
  isNewUsed: boolean;
  /** Requests with the older one that run. */
  oldRequests: number;
  /** ms since the newer one was put into the sandbox. */
  sinceBoundMs: number;
  /** ms since the last request with the older one began; null: none ever did. */
  sinceOldUsedMs: number | null;
}
