import { isDirect, type JobCredential } from '../contract/credential.ts';
import { ValetkeyError } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import { hashSecret } from '../secrets/secret.ts';
import type { SourcedEvent } from '../store/events.ts';
import { activateKey, recordIntent } from '../store/key-transitions.ts';
import { spentUsd } from '../store/key-usage.ts';
import type { LedgerKey } from '../store/keys.ts';
import { gatewayNamed, type KeyContext } from './context.ts';
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
 * `job_conflict` for the id of an earlier job; `gateway_not_configured`, `gateway_unreachable`, also where another attempt has overtaken
 * this one; `gateway_refused`, `root_key_missing`, `database_unreachable`.
 */
export async function mintKey(context: KeyContext, params: MintParams, events: readonly SourcedEvent[]): Promise<void> {
  const { db, rootKeys, owner } = context;
  const { ref, jobId, tenant, budgetUsd, models } = params;
  const gateway = gatewayNamed(context, params.gateway);
  const leaseEnd = newLeaseEnd(context, params.hardExpiresAt);
  const { refused, state, rootKeyId, attempts } = await recordIntent(db, {
    ...params,
    owner,
    rootKeyId: rootKeys.currentId,
    expiresAt: leaseEnd,
  });
  if (refused === 'tenant_blocked') throw new ValetkeyError(refused, `The tenant ${tenant} is blocked.`);
  if (refused === 'job_conflict') throw new ValetkeyError(refused, `The id ${jobId} belongs to an earlier job.`);
  if (refused === 'key_refused') throw new ValetkeyError(refused, `A key of the job ${jobId} was revoked.`);
  if (state === 'active') return;
  if (state !== 'minting') throw keyEnded(ref);
  const secret = rootKeys.derive(rootKeyId, ref);
  const upstreamSecret = rootKeys.deriveUpstream(rootKeyId, ref);
  const isExternal = gateway.name !== 'builtin';
  // Our proxy holds to the lease in any case; a gateway that cannot renew gets the latest time that the job can end.
  const expiresAt = gateway.extend === undefined ? params.hardExpiresAt : leaseEnd;
  const leftUsd = isExternal ? Math.max(0, budgetUsd - (await spentUsd(db, jobId))) : budgetUsd;
  const wanted = { ref, id: null, attempts, tenant, secret, upstreamSecret, budgetUsd: leftUsd, models, expiresAt };
  const minted = await gateway.mint(wanted);
  const upstream = minted === null ? null : { id: minted.id, sealed: await context.sealUpstreamKey(minted.secret, ref) };
  // Where the gateway draws the secret, each attempt makes a key of its own, and only the last attempt's may be used.
  const isDrawn = minted !== null && minted.secret.reveal() !== upstreamSecret.reveal();
  // The proxy finds the key by what the sandbox sends.
  const delivered = minted !== null && isDirect(params.credential) ? minted.secret : secret;
  const secrets = { secretHash: hashSecret(delivered), upstream, onlyAttempt: isDrawn ? attempts : null };
  const activated = await activateKey(db, params, secrets, events);
  if (activated === 'active') return;
  const mintedSecret = minted?.secret ?? null;
  const key = { ref, id: minted?.id ?? null, attempts, secret, upstreamSecret, mintedSecret, wasMinted: false };
  if (activated === 'overtaken') {
    // Only its own key: that of the other attempt is in use.
    await gateway.disable({ ...key, attempts: 1 });
    await gateway.delete?.({ ...key, attempts: 1 });
    throw new ValetkeyError('gateway_unreachable', `Another attempt mints the key ${ref}.`);
  }
  await endAtGateway(gateway, key);
  throw keyEnded(ref);
}

/** Returns when a lease that begins now ends: never after the hard expiry. */
export function newLeaseEnd({ leaseMs }: Pick<KeyContext, 'leaseMs'>, hardExpiresAt: Date): Date {
  return new Date(Math.min(Date.now() + leaseMs, hardExpiresAt.getTime()));
}

export function keyEnded(ref: KeyRef): ValetkeyError {
  return new ValetkeyError('key_ended', `The key ${ref} has ended.`);
}
