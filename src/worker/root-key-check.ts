import { Runtime } from '@temporalio/worker';

import { ValetkeyError } from '../contract/errors.ts';
import type { LoadedKeyring } from '../secrets/keyring.ts';
import type { Db } from '../store/database.ts';
import { newestRootKey, openKeysByRootKey } from '../store/key-list.ts';
import { listWorkers } from '../store/workers.ts';
import { decideRootKeys } from './decide-root-keys.ts';

/** ms. Workers report every two seconds. */
const PRESENT_MS = 10_000;

/**
 * Checks a worker's root keys against the ledger before it takes work, and logs where keys were derived from others.
 * @throws `root_key_missing` where workers that run mint from a root key that this one lacks, `database_unreachable`
 */
export async function checkRootKeys(db: Db, owner: string, { rootKeys }: Pick<LoadedKeyring, 'rootKeys'>): Promise<void> {
  const [newestId, open, workers] = await Promise.all([newestRootKey(db, owner), openKeysByRootKey(db, owner), listWorkers(db, owner)]);
  const hasOthers = workers.some(({ agoMs }) => agoMs <= PRESENT_MS);
  const decision = decideRootKeys({ own: rootKeys.map(({ id }) => id), newestId, open, hasOthers });
  switch (decision.action) {
    case 'start':
      return;
    case 'refuse': {
      const message = `The workers of this installation use the root key ${decision.rootKeyId}, which this one does not have.`;
      throw new ValetkeyError('root_key_missing', message);
    }
    case 'warn': {
      const { rootKeyIds, keys } = decision;
      const problem = `${keys} keys that are not ended were derived from root keys that this worker does not have: their jobs fail here.`;
      Runtime.instance().logger.warn(problem, { code: 'root_key_missing', rootKeyIds });
    }
  }
}
