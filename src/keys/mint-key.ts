import { ValetkeyError } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Gateway } from '../gateways/gateway.ts';
import { hashSecret } from '../secrets/secret.ts';
import type { SourcedEvent } from '../store/events.ts';
import { activateKey, recordIntent, type LedgerKey } from '../store/keys.ts';
import type { KeyContext } from './context.ts';
import { endAtGateway } from './end-key.ts';

export interface MintParams extends LedgerKey {
  /** USD, of the job: its keys share it. */
  budgetUsd: number;
  models: readonly string[];
  /** The key expires then, whatever its lease. */
  hardExpiresAt: Date;
}

/**
 * Mints a key: the intent goes into the ledger before anything is asked of the gateway, so that one whose answer is lost is known
 * and ended. Idempotent on ref; the caller retries. `events` are stored once it is active. Throws `key_ended` for a ref whose end has
 * begun: what a mint that came too late made is ended again first. Throws `tenant_blocked`, `key_refused` for a job that had a key
 * revoked, `job_conflict` under the id of an earlier job, `gateway_unreachable`, `gateway_refused`, `root_key_missing`, `database_unreachable`.
 */
export async function mintKey(context: KeyContext, wanted: MintParams, events: readonly SourcedEvent[]): Promise<void> {
  const { db, gateways, rootKeys, owner } = context;
  const { ref, gateway: name } = wanted;
  const gateway = gateways[name];
  const expiresAt = leaseEnd(context, gateway, wanted.hardExpiresAt);
  const { refused, state, rootKeyId } = await recordIntent(db, { ...wanted, owner, rootKeyId: rootKeys.currentId, expiresAt });
  if (refused === 'tenant_blocked') throw new ValetkeyError(refused, `the tenant ${wanted.tenant} gets no keys`);
  if (refused === 'job_conflict') throw new ValetkeyError(refused, `The id ${wanted.jobId} belongs to an earlier job.`);
  if (refused === 'key_refused') throw new ValetkeyError(refused, `a key of the job ${wanted.jobId} was revoked`);
  if (state !== 'minting' && state !== 'active') throw keyEnded(ref);
  const secret = rootKeys.derive(rootKeyId, ref);
  await gateway.mint({ ...wanted, secret, expiresAt });
  if (await activateKey(db, wanted, hashSecret(secret), events)) return;
  await endAtGateway(gateway, { ref, secret, wasMinted: false });
  throw keyEnded(ref);
}

/** Where a lease that begins now ends; a gateway that cannot renew one gets the key's last day at once. */
export function leaseEnd({ leaseMs }: Pick<KeyContext, 'leaseMs'>, gateway: Pick<Gateway, 'extend'>, hardExpiresAt: Date): Date {
  return gateway.extend === undefined ? hardExpiresAt : new Date(Math.min(Date.now() + leaseMs, hardExpiresAt.getTime()));
}

export function keyEnded(ref: KeyRef): ValetkeyError {
  return new ValetkeyError('key_ended', `the key ${ref} has ended`);
}
