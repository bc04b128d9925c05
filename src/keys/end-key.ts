import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, ValetkeyError } from '../contract/errors.ts';
import type { EndCause } from '../contract/key.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Gateway, MintedKey } from '../gateways/gateway.ts';
import type { SourcedEvent } from '../store/events.ts';
import { beginEnd, openKeys, recordEnd, type EndProgress } from '../store/key-ends.ts';
import type { LedgerKey } from '../store/keys.ts';
import type { KeyContext } from './context.ts';

/** How long one attempt waits for the data plane to refuse a key that was disabled: caches. */
const PROBE_FOR_MS = 10_000;

/**
 * Ends a key: disable, probe the data plane until it refuses, settle the spend, delete. Accepted and revoked are two facts,
 * recorded each with its time. Idempotent on ref, and each attempt goes on from where the last one came to; a ref that is unknown or
 * ended already resolves. Resolves to how many other keys of the job are not ended. `unusedSince`: when its job ended, where that was
 * before this end begins. The caller retries without limit. Throws `gateway_unreachable` while the end cannot be seen or the spend is not
 * final, `gateway_refused`, `root_key_missing`, `database_unreachable`.
 */
export async function endKey(context: KeyContext, key: LedgerKey, cause: EndCause, unusedSince: Date | null = null): Promise<number> {
  const { db, gateways, rootKeys, owner, metrics } = context;
  const { ref, jobId } = key;
  const startedMs = performance.now();
  const end = await beginEnd(db, { ...key, owner }, cause);
  if (end.isOver) return end.others;
  const gateway = gateways[end.gateway];
  const passed = (): number => performance.now() - startedMs;
  const seen: EndProgress = { tookMs: 0, disabledMs: null, revokedMs: null, usage: null, deletedMs: null, isOver: false };
  const events: SourcedEvent[] = [];
  const record = async (error: ValetkeyError['code'] | null): Promise<void> =>
    recordEnd(db, { ref, jobId }, { ...seen, tookMs: passed() }, { error, events });
  try {
    if (!end.isRevoked) {
      // Also where an earlier attempt did: a key that is still accepted may never have been disabled, whatever the answer was.
      await gateway.disable(ref);
      seen.disabledMs = passed();
      events.push({ source: `key.disabled:${ref}`, body: { type: 'key.disabled', ref } });
      // After it: a key whose root key is missing can be disabled all the same.
      await untilRefused(gateway, { ref, secret: rootKeys.derive(end.rootKeyId, ref), wasMinted: end.wasMinted });
      seen.revokedMs = passed();
      metrics.died(cause, Date.now() - (unusedSince ?? end.endingAt ?? new Date()).getTime());
      events.push({ source: `key.revoked:${ref}`, body: { type: 'key.revoked', ref } });
    }
    if (!end.isSettled) {
      seen.usage = await gateway.spend(ref);
      events.push({ source: `key.settled:${ref}`, body: { type: 'key.settled', ref, usd: seen.usage.usd } });
    }
    if (gateway.delete !== undefined && !end.isDeleted) {
      // What a gateway forgets together with the key has to be on record before.
      await record(null);
      await gateway.delete(ref);
      seen.deletedMs = passed();
      events.push({ source: `key.deleted:${ref}`, body: { type: 'key.deleted', ref } });
    }
    seen.isOver = true;
  } catch (error) {
    // What was reached holds, and a later attempt goes on from there.
    await record(codeOf(error)).catch(() => {});
    throw error;
  }
  await record(null);
  return end.others;
}

/**
 * Ends the key of a job that ends, and each other that it has left; one that cannot be ended keeps no other from its end. Throws as
 * `endKey` does, once all were tried.
 */
export async function endLastKeys(context: KeyContext, key: LedgerKey): Promise<void> {
  const [end] = await Promise.allSettled([endKey(context, key, 'job')]);
  if (end.status === 'rejected' || end.value > 0) await endKeysOfJob(context, key.jobId, 'job', key.ref);
  if (end.status === 'rejected') throw end.reason;
}

/** Ends every key of a job, but for one that was tried. Throws as `endKey` does, once all were tried. */
export async function endKeysOfJob(context: KeyContext, jobId: string, cause: EndCause, tried?: KeyRef): Promise<void> {
  const keys = (await openKeys(context.db, context.owner, [jobId])).filter(({ ref }) => ref !== tried);
  const ends = await Promise.allSettled(keys.map((key) => endKey(context, key, cause)));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** Ends what a mint made that came after the end of its ref; the ledger has it as ended. Throws as `endKey` does. */
export async function endAtGateway(gateway: Gateway, key: MintedKey): Promise<void> {
  await gateway.disable(key.ref);
  await untilRefused(gateway, key);
  await gateway.delete?.(key.ref);
}

async function untilRefused(gateway: Gateway, key: MintedKey): Promise<void> {
  const giveUpMs = performance.now() + PROBE_FOR_MS;
  for (let pauseMs = 50; !(await gateway.probe(key)); pauseMs = Math.min(2 * pauseMs, 1000)) {
    if (performance.now() > giveUpMs)
      throw new ValetkeyError('gateway_unreachable', `the key ${key.ref} is disabled and is still accepted`);
    await sleep(pauseMs);
  }
}
