import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, ValetkeyError } from '../contract/errors.ts';
import { GATEWAY_TITLES } from '../contract/gateway-name.ts';
import type { EndCause } from '../contract/key.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Gateway, MintedKey } from '../gateways/gateway.ts';
import type { SourcedEvent } from '../store/events.ts';
import { openKeys, type EndProgress } from '../store/key-ends.ts';
import { beginEnd, recordEnd } from '../store/key-transitions.ts';
import type { LedgerKey } from '../store/keys.ts';
import { gatewayNamed, type KeyContext } from './context.ts';
import { readSecrets } from './key-secrets.ts';

/** How long one attempt waits for the data plane to refuse a disabled key: a gateway may have caches. */
const REFUSAL_TIMEOUT_MS = 10_000;

/**
 * Ends a key: disables it, probes the data plane until it refuses the key, settles the spend, deletes it. Disabled (accepted by the
 * control plane) and revoked (a request was refused) are two facts, each recorded with its time. Idempotent on ref: each attempt
 * continues where the last one stopped, and an unknown or ended ref resolves. The caller retries without limit. Resolves to the number
 * of other keys of the job that have not ended. `unusedSince` is when the job ended, where that was before this end began. Throws
 * `gateway_unreachable` while the key is still accepted or its spend is not final, `gateway_refused`, `root_key_missing`,
 * `sealed_unreadable` for a key that a sandbox holds and this worker cannot open, `database_unreachable`.
 */
export async function endKey(context: KeyContext, key: LedgerKey, cause: EndCause, unusedSince: Date | null = null): Promise<number> {
  const { db, owner, metrics } = context;
  const dataPlane = context.gateways.builtin;
  const { ref, jobId } = key;
  const startedMs = performance.now();
  const end = await beginEnd(db, { ...key, owner }, cause);
  if (end.isOver) return end.others;
  const elapsedMs = (): number => performance.now() - startedMs;
  const progress: EndProgress = { tookMs: 0, disabledMs: null, revokedMs: null, usage: null, deletedMs: null, isOver: false };
  const events: SourcedEvent[] = [];
  const record = async (error: ValetkeyError['code'] | null): Promise<void> =>
    recordEnd(db, { ref, jobId }, { ...progress, tookMs: elapsedMs() }, { error, events });
  try {
    const gateway = gatewayNamed(context, end.gateway);
    if (!end.isRevoked) {
      // Disabled again even where an earlier attempt succeeded: a key that is still accepted may not have been disabled after all.
      await gateway.disable(end);
      progress.disabledMs = elapsedMs();
      events.push({ source: `key.disabled:${ref}`, body: { type: 'key.disabled', ref } });
      // The secrets are read only now: a key whose root key is missing can still be disabled.
      await waitUntilRefused([dataPlane, gateway], { ...end, ...(await readSecrets(context, end)) });
      progress.revokedMs = elapsedMs();
      metrics.recordRevoked(cause, Date.now() - (unusedSince ?? end.endingAt ?? new Date()).getTime());
      events.push({ source: `key.revoked:${ref}`, body: { type: 'key.revoked', ref } });
    }
    if (!end.isSettled) {
      // The proxy is asked first: what it still reads for its usage, the gateway cannot know yet.
      const metered = await dataPlane.spend(end);
      progress.usage = gateway === dataPlane ? metered : await gateway.spend(end, metered);
      events.push({ source: `key.settled:${ref}`, body: { type: 'key.settled', ref, usd: progress.usage.usd } });
    }
    if (gateway.delete !== undefined && !end.isDeleted) {
      // The spend is recorded first: a gateway may forget it together with the key.
      await record(null);
      await gateway.delete(end);
      progress.deletedMs = elapsedMs();
      events.push({ source: `key.deleted:${ref}`, body: { type: 'key.deleted', ref } });
    }
    progress.isOver = true;
  } catch (error) {
    // The progress so far is recorded, and the next attempt continues from there.
    await record(codeOf(error)).catch(() => {});
    throw error;
  }
  await record(null);
  return end.others;
}

/**
 * Ends the key of a job that ends, and each of the job's other keys that has not ended; a failure of one does not keep the others from
 * being ended. Throws as `endKey` does, after all were tried.
 */
export async function endRemainingKeys(context: KeyContext, key: LedgerKey): Promise<void> {
  const [end] = await Promise.allSettled([endKey(context, key, 'job')]);
  if (end.status === 'rejected' || end.value > 0) await endKeysOfJob(context, key.jobId, 'job', key.ref);
  if (end.status === 'rejected') throw end.reason;
}

/** Ends every key of a job except `tried`. Throws as `endKey` does, after all were tried. */
export async function endKeysOfJob(context: KeyContext, jobId: string, cause: EndCause, tried?: KeyRef): Promise<void> {
  const keys = (await openKeys(context.db, context.owner, [jobId])).filter(({ ref }) => ref !== tried);
  const ends = await Promise.allSettled(keys.map((key) => endKey(context, key, cause)));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** Ends a key only at the gateway: a late mint created it after the end of its ref, which the ledger has recorded. Throws as `endKey` does. */
export async function endAtGateway(gateway: Gateway, key: MintedKey): Promise<void> {
  await gateway.disable(key);
  await waitUntilRefused([gateway], key);
  await gateway.delete?.(key);
}

/** Waits until the proxy and the gateway behind it refuse a key. Each is asked until it has refused the key once. */
async function waitUntilRefused(gateways: readonly Gateway[], key: MintedKey): Promise<void> {
  const giveUpAtMs = performance.now() + REFUSAL_TIMEOUT_MS;
  for (const gateway of new Set(gateways)) {
    for (let pauseMs = 50; !(await gateway.probe(key)); pauseMs = Math.min(2 * pauseMs, 1000)) {
      if (performance.now() > giveUpAtMs)
        throw new ValetkeyError(
          'gateway_unreachable',
          `The key ${key.ref} is disabled, and ${GATEWAY_TITLES[gateway.name]} still accepts it.`,
        );
      await sleep(pauseMs);
    }
  }
}
