import { ValetkeyError } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Secret } from '../secrets/secret.ts';
import { extendLeases } from '../store/key-transitions.ts';
import { currentKey, activeKeys } from '../store/keys.ts';
import { gatewayNamed, type KeyContext } from './context.ts';
import { deliveredSecret } from './key-secrets.ts';
import { keyEnded, newLeaseEnd } from './mint-key.ts';

/** Renewals within one lease: a second process of LiteLLM took up to 56 s to see a renewal (1.106.2 without Redis). */
export const RENEWALS_PER_LEASE = 4;

export interface SessionKey {
  ref: KeyRef;
  secret: Secret;
}

/**
 * Renews the lease of a job's current key at the gateway, and resolves to the key with its secret, for a session that starts or
 * continues; `markBound` records the renewal. Throws `key_ended` where the job has no active key and may mint its next, `key_refused`
 * where the key was revoked by an operator, `root_key_missing`, `sealed_unreadable`, `gateway_unreachable`, `database_unreachable`.
 */
export async function renewSessionKey(context: KeyContext, jobId: string): Promise<SessionKey> {
  const key = await currentKey(context.db, jobId);
  if (key === null) throw new ValetkeyError('key_ended', `The job ${jobId} has no key.`);
  const { ref, hardExpiresAt } = key;
  if (!key.isActive) {
    if (key.cause === 'revoked') throw new ValetkeyError('key_refused', `The key ${ref} was revoked.`);
    throw keyEnded(ref);
  }
  const gateway = gatewayNamed(context, key.gateway);
  await gateway.extend?.(key, newLeaseEnd(context, hardExpiresAt));
  return { ref, secret: await deliveredSecret(context, key) };
}

/** Renews the leases of a running job's keys. Throws `gateway_unreachable`, `database_unreachable`: the next renewal may come in time. */
export async function renewLeases(context: KeyContext, jobId: string): Promise<void> {
  const { db, leaseMs } = context;
  const renewals = (await activeKeys(db, jobId)).map(async (key) => {
    const gateway = gatewayNamed(context, key.gateway);
    await gateway.extend?.(key, newLeaseEnd(context, key.hardExpiresAt));
  });
  // A failure at one gateway does not keep the others from being renewed.
  const renewed = await Promise.allSettled(renewals);
  await extendLeases(db, jobId, leaseMs);
  for (const renewal of renewed) if (renewal.status === 'rejected') throw renewal.reason;
}
