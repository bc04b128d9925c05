/** The number of things that depend on each key of a keyring, by the key's id. */
export interface KeyringUse {
  /** Keys of jobs that have not ended, by root key. */
  activeKeys: ReadonlyMap<string, number>;
  /** Running jobs that hold a sealed secret, by sealing key. */
  runningJobs: ReadonlyMap<string, number>;
  /** Keys that gateways minted for jobs whose keys have not ended, by sealing key. */
  gatewayKeys: ReadonlyMap<string, number>;
  /** Stored credentials of the gateway, by sealing key. */
  upstreamCredentials: ReadonlyMap<string, number>;
}

/** The ids of a keyring's keys; the first of each list is the current one. */
export interface KeyringIds {
  rootKeys: readonly string[];
  sealingKeys: readonly string[];
}

export type PruneDecision = { action: 'drop'; ids: readonly string[] } | { action: 'refuse'; reason: string };

/** Decides which keys a keyring can drop: all but the current ones, or none while one of them is needed. */
export function decidePrune(keyring: KeyringIds, use: KeyringUse): PruneDecision {
  const rootKeys = keyring.rootKeys.slice(1);
  const sealingKeys = keyring.sealingKeys.slice(1);
  const needs = [
    ...rootKeys.flatMap((id) => need('the root key', id, [['active keys', use.activeKeys.get(id)]])),
    ...sealingKeys.flatMap((id) =>
      need('the sealing key', id, [
        ['running jobs', use.runningJobs.get(id)],
        ['keys of gateways', use.gatewayKeys.get(id)],
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
