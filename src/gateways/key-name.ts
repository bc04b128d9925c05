import type { KeyRef } from '../contract/ref.ts';

const PREFIX = 'valetkey/';
const NAME = /^valetkey\/(.+)\/([^/]+\/[^/]+\/[1-9]\d*)(?:\.([1-9]\d*))?$/;

/** The parts of a key's name at a gateway of a third party. */
export interface KeyName {
  /** The namespace and deployment that minted the key. */
  owner: string;
  ref: KeyRef;
  /** The number of the mint, from 1; null where every mint of a ref makes the same key. */
  attempt: number | null;
}

/** Formats the name by which a key is found at a gateway: `valetkey/<owner>/<ref>`, and `.<attempt>` where each mint makes a key of its own. */
export function formatKeyName({ owner, ref, attempt }: KeyName): string {
  return `${PREFIX}${owner}/${ref}${attempt === null ? '' : `.${attempt}`}`;
}

/** Reads a name that `formatKeyName` made; null for any other. */
export function parseKeyName(name: string): KeyName | null {
  const [, owner, ref, attempt] = NAME.exec(name) ?? [];
  if (owner === undefined || !isRef(ref)) return null;
  return { owner, ref, attempt: attempt === undefined ? null : Number(attempt) };
}

function isRef(text: string | undefined): text is KeyRef {
  return text !== undefined;
}
