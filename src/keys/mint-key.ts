import type { JobCredential } from '../contract/credential.ts';
import { ValetkeyError } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Gateway } from '../gateways/gateway.ts';
import { hashSecret } from '../secrets/secret.ts';
import type { SourcedEvent } from '../store/events.ts';
import { activateKey, recordIntent } from '../store/key-transitions.ts';
import type { LedgerKey } from '../store/keys.ts';
import type { KeyContext } from './context.ts';
import { endAtGateway } from './end-key.ts';

export interface MintParams extends LedgerKey {
  /** USD, of the job: its keys share it. */
  budgetUsd: number;
  models: readonly string[];
  /** The upstream credential that the key stands for. */
  credential: JobCredential;
  /** The key expires then: no lease extends beyond. */
  hardExpiresAt: Date;
}

/**
 * Mints a key. The intent is recorded in the ledger before the gateway is called, so that a key whose answer is lost is known and can be
 * ended. Idempotent on ref; the caller retries. `events` are stored once the key is active. Throws `key_ended` for a ref whose end has
 * begun, after ending what a late mint has created at the gateway; `tenant_blocked`; `key_refused` for a job that had a key revoked;
 * `job_conflict` for the id of an earlier job; `gateway_unreachable`, `gateway_refused`, `root_key_missing`, `database_unreachable`.
 */
export async function mintKey(context: KeyContext, params: MintParams, events: readonly SourcedEvent[]): Promise<void> {
  const { db, gateways, rootKeys, owner } = context;
  const { ref, gateway: name } = params;
  const gateway = gateways[name];
  const expiresAt = newLeaseEnd(context, gateway, params.hardExpiresAt);
  const { refused, state, rootKeyId } = await recordIntent(db, { ...params, owner, rootKeyId: rootKeys.currentId, expiresAt });
  if (refused === 'tenant_blocked') throw new ValetkeyError(refused, `The tenant ${params.tenant} is blocked.`);
  if (refused === 'job_conflict') throw new ValetkeyError(refused, `The id ${params.jobId} belongs to an earlier job.`);
  if (refused === 'key_refused') throw new ValetkeyError(refused, `A key of the job ${params.jobId} was revoked.`);
  if (state !== 'minting' && state !== 'active') throw keyEnded(ref);
  const secret = rootKeys.derive(rootKeyId, ref);
  await gateway.mint({ ...params, secret, expiresAt });
  if (await activateKey(db, params, hashSecret(secret), events)) return;
  await endAtGateway(gateway, { ref, secret, wasMinted: false });
  throw keyEnded(ref);
}

/** Returns when a lease that begins now ends: at the hard expiry where the gateway cannot renew a lease. */
export function newLeaseEnd({ leaseMs }: Pick<KeyContext, 'leaseMs'>, gateway: Pick<Gateway, 'extend'>, hardExpiresAt: Date): Date {
  return gateway.extend === undefined ? hardExpiresAt : new Date(Math.min(Date.now() + leaseMs, hardExpiresAt.getTime()));
}

export function keyEnded(ref: KeyRef): ValetkeyError {
  return new ValetkeyError('key_ended', `The key ${ref} has ended.`);
}
