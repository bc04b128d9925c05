export interface RootKeyUse {
  /** Ids of the root keys that this worker has. */
  own: readonly string[];
  /** The root key of the newest key on record; null: there is no key. */
  newestId: string | null;
  /** How many keys that are not ended were derived from which root key. */
  open: ReadonlyMap<string, number>;
  /** Another worker of the installation runs. */
  hasOthers: boolean;
}

export type RootKeyDecision =
  | { action: 'start' }
  | { action: 'refuse'; reason: 'others-use-another'; rootKeyId: string }
  | { action: 'warn'; reason: 'open-keys-of-others'; rootKeyIds: string[]; keys: number };

/**
 * Decides whether a worker starts with its root keys. Beside workers that mint from another root key it would fail their jobs, and they its
 * own. Alone it may start: a root key that is lost must not keep an installation down, and the keys that were derived from it are reported.
 */
export function decideRootKeys({ own, newestId, open, hasOthers }: RootKeyUse): RootKeyDecision {
  if (hasOthers && newestId !== null && !own.includes(newestId))
    return { action: 'refuse', reason: 'others-use-another', rootKeyId: newestId };
  const foreign = [...open].filter(([id]) => !own.includes(id));
  if (foreign.length === 0) return { action: 'start' };
  const keys = foreign.reduce((sum, [, count]) => sum + count, 0);
  return { action: 'warn', reason: 'open-keys-of-others', rootKeyIds: foreign.map(([id]) => id), keys };
}
