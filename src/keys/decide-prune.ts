/** How much hangs on keys of key rings, by the key's id. */
export interface KeyringUse {
  /** Keys of jobs that have not ended, by root key. */
  activeKeys: ReadonlyMap<string, number>;
  /** Jobs that run and hold a sealed secret, by sealing key. */
  runningJobs: ReadonlyMap<string, number>;
  /** Stored credentials of the gateway, by sealing key. */
  upstreamCredentials: ReadonlyMap<string, number>;
}

/** The ids of a key ring; the first of each is the current one. */
export interface RingIds {
  rootKeys: readonly string[];
  sealingKeys: readonly string[];
}

export type PruneDecision = { action: 'drop'; ids: readonly string[] } | { action: 'refuse'; reason: string };

/** Which keys a key ring can do without: all but the current ones, or none as long as one of them is needed. */
export function decidePrune(ring: RingIds, use: KeyringUse): PruneDecision {
  const rootKeys = ring.rootKeys.slice(1);
  const sealingKeys = ring.sealingKeys.slice(1);
  const needs = [
    ...rootKeys.flatMap((id) => need('the root key', id, [['active keys', use.activeKeys.get(id)]])),
    ...sealingKeys.flatMap((id) =>
      need('the sealing key', id, [
        ['running jobs', use.runningJobs.get(id)],
        ['stored credentials', use.upstreamCredentials.get(id)],
      ]),
    ),
  ];
  return needs.length > 0 ? { action: 'refuse', reason: needs.join('; ') } : { action: 'drop', ids: [...rootKeys, ...sealingKeys] };
}

function need(what: string, id: string, counts: readonly (readonly [string, number | undefined])[]): string[] {
  const needed = counts.flatMap(([who, count = 0]) => (count === 0 ? [] : [`${who}: ${count}`]));
  return needed.length === 0 ? [] : [`${what} ${id} is needed (${needed.join(', ')})`];
}
