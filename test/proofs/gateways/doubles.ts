import type { MintedRecord } from '../../gateways/rigs/rig.ts';

/**
 * Counts the keys that somebody could send while another one of the same generation was accepted. A key whose secret was lost with the
 * answer to its mint is none: it is ended all the same, but nobody can use it.
 */
export function doublesOf(records: readonly MintedRecord[]): number {
  const usable = records.filter(({ wasHandedOut }) => wasHandedOut);
  return usable.filter((key, index) =>
    usable.slice(0, index).some((earlier) => earlier.generation === key.generation && earlier.endedAt > key.mintedAt),
  ).length;
}
