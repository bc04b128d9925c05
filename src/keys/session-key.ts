import { ValetkeyError } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Secret } from '../secrets/secret.ts';
import { currentKey, extendLeases, activeKeys } from '../store/keys.ts';
import type { KeyContext } from './context.ts';
import { keyEnded, leaseEnd } from './mint-key.ts';

/** How often a lease is renewed in its time: at a second worker of LiteLLM a renewal took up to 56 s to hold (1.106.2, no Redis). */
export const RENEWALS_PER_LEASE = 4;

export interface SessionKey {
  ref: KeyRef;
  secret: Secret;
}

/**
 * The key that a session of the job goes on with, and its secret. Its lease is renewed at the gateway; `markBound` puts that on
 * record. Throws `key_ended` where the job has no active key and may mint its next, `key_refused` where somebody revoked it,
 * `root_key_missing`, `gateway_unreachable`, `database_unreachable`.
 */
export async function sessionKey(context: KeyContext, jobId: string): Promise<SessionKey> {
  const key = await currentKey(context.db, jobId);
  if (key === null) throw new ValetkeyError('key_ended', `the job ${jobId} has no key`);
  const { ref, gateway: name, rootKeyId, hardExpiresAt } = key;
  if (!key.isActive) {
    if (key.cause === 'revoked') throw new ValetkeyError('key_refused', `the key ${ref} was revoked`);
    throw keyEnded(ref);
  }
  const secret = context.rootKeys.derive(rootKeyId, ref);
  const gateway = context.gateways[name];
  await gateway.extend?.(ref, leaseEnd(context, gateway, hardExpiresAt));
  return { ref, secret };
}

/** Renews the leases of a job that runs. Throws `gateway_unreachable`, `database_unreachable`: the next renewal may come in time. */
export async function renewLeases(context: KeyContext, jobId: string): Promise<void> {
  const { db, gateways, leaseMs } = context;
  const renewals = (await activeKeys(db, jobId)).map(async ({ ref, gateway: name, hardExpiresAt }) => {
    const gateway = gateways[name];
    await gateway.extend?.(ref, leaseEnd(context, gateway, hardExpiresAt));
  });
  // One that fails keeps no other from its renewal.
  const renewed = await Promise.allSettled(renewals);
  await extendLeases(db, jobId, leaseMs);
  for (const renewal of renewed) if (renewal.status === 'rejected') throw renewal.reason;
}
