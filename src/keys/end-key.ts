import type { Gateway, KeyIdentity } from '../gateways/gateway.ts';
import { ValetkeyError } from '../job/errors.ts';
import type { Db } from '../store/database.ts';
import { markDead } from '../store/keys.ts';

/**
 * Ends a key: disable, then probe until the data plane refuses it. Accepted and observed dead are two facts, recorded
 * each with its time. Idempotent on ref; a ref that is unknown or dead already resolves. The caller retries without limit.
 * Throws `gateway_unreachable` while the end cannot be seen, `database_unreachable`.
 */
export async function endKey(db: Db, gateway: Gateway, key: KeyIdentity): Promise<void> {
  const { ref, jobId } = key;
  await gateway.disable(key);
  if (!(await gateway.probe(ref))) throw new ValetkeyError('gateway_unreachable', `the key ${ref} is disabled and was still accepted`);
  await markDead(db, { ref, jobId }, [
    { source: `key.disabled:${ref}`, body: { type: 'key.disabled', ref } },
    { source: `key.dead:${ref}`, body: { type: 'key.dead', ref } },
  ]);
}
