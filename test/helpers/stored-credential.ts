import { DEFAULT_CREDENTIAL } from '../../src/contract/credential.ts';
import type { Db } from '../../src/store/database.ts';
import { storeCredential, type CredentialKey } from '../../src/store/upstream-credentials.ts';

/** The credential of a key whose job has the strategy `gateway`. */
export const OF_GATEWAY = { strategy: 'gateway', gateway: 'builtin' } as const;

/** Stores the first or the next version of a credential. */
export async function storeVersion(
  db: Db,
  { name = DEFAULT_CREDENTIAL, ...owner }: Omit<CredentialKey, 'name'> & { name?: string },
  sealed: string,
): Promise<number> {
  const key = { ...owner, name };
  const version = (await storeCredential(db, key, sealed, { isNew: true })) ?? (await storeCredential(db, key, sealed, { isNew: false }));
  if (version === null) throw new Error('stored no version');
  return version;
}
