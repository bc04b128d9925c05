import { setTimeout as sleep } from 'node:timers/promises';

import { Agent, request } from 'undici';

import { ValetkeyError } from '../../contract/errors.ts';
import type { Db } from '../../store/database.ts';
import { meteredUsage } from '../../store/key-usage.ts';
import { chargeAbandoned, countOpenRequests } from '../../store/request-records.ts';
import type { GatewayKey, MeteredGateway, MeteredUsage, MintedKey } from '../gateway.ts';

const PROBE_TIMEOUT_MS = 5_000;
/** Slightly longer than the proxy continues to read an answer for its usage after the key has ended. */
const SPEND_TIMEOUT_MS = 9_000;
const MAX_POLL_INTERVAL_MS = 400;
/**
 * Postgres must have answered for this long before a silent proxy replica counts as lost: no replica can send a heartbeat while
 * Postgres is unreachable. Two heartbeat intervals.
 */
const MIN_DATABASE_UPTIME_MS = 4_500;
/** A query that takes longer than this counts as an outage of Postgres. */
const OUTAGE_THRESHOLD_MS = 1_000;
/** A proxy replica without a heartbeat for this long is lost. */
const REPLICA_LOST_AFTER_S = 15;

export interface BuiltinGatewayOptions {
  db: Db;
  /** Unix socket of the data plane's replica that the sandboxes of this host use. */
  socketPath: string;
}

/**
 * The built-in gateway, for its callers. Its control plane is the ledger itself: every proxy replica reads the key's row on every
 * request, so what the caller has recorded in the ledger is in force everywhere at once, and most methods have nothing to add.
 */
export class BuiltinGateway implements MeteredGateway {
  readonly name = 'builtin';
  readonly #db: Db;
  readonly #socketPath: string;
  readonly #dataPlane: Agent;

  constructor({ db, socketPath }: BuiltinGatewayOptions) {
    this.#db = db;
    // Each request uses a new connection: the proxy delays its answers on a connection whose requests it keeps refusing.
    this.#socketPath = socketPath;
    this.#dataPlane = new Agent({
      connect: { socketPath },
      pipelining: 0,
      headersTimeout: PROBE_TIMEOUT_MS,
      bodyTimeout: PROBE_TIMEOUT_MS,
    });
  }

  async mint(): Promise<null> {
    await this.#requestStatus({});
    return null;
  }

  async extend(): Promise<void> {}

  async disable(): Promise<void> {}

  /** A key that was never active in the ledger was never accepted, so it needs no request and the proxy may be down. */
  async probe({ secret, wasMinted }: MintedKey): Promise<boolean> {
    return !wasMinted || (await this.#requestStatus({ authorization: `Bearer ${secret.reveal()}` })) === 401;
  }

  async spend({ ref }: Pick<GatewayKey, 'ref'>): Promise<MeteredUsage> {
    const giveUpAtMs = performance.now() + SPEND_TIMEOUT_MS;
    let reachableSinceMs = performance.now();
    for (let pauseMs = 25; ; pauseMs = Math.min(2 * pauseMs, MAX_POLL_INTERVAL_MS)) {
      const queriedAtMs = performance.now();
      if ((await countOpenRequests(this.#db, ref)) === 0) break;
      if (performance.now() - queriedAtMs > OUTAGE_THRESHOLD_MS) reachableSinceMs = performance.now();
      const couldSendHeartbeats = performance.now() - reachableSinceMs > MIN_DATABASE_UPTIME_MS;
      if (couldSendHeartbeats && (await chargeAbandoned(this.#db, { ref, replicaLostAfterS: REPLICA_LOST_AFTER_S })) > 0) continue;
      if (performance.now() > giveUpAtMs)
        throw new ValetkeyError('gateway_unreachable', `The gateway has not recorded all requests of the key ${ref} yet.`);
      await sleep(pauseMs);
    }
    return meteredUsage(this.#db, ref);
  }

  /** Resolves to the status of a request that costs nothing. A 5xx counts as no answer: the proxy could not look up the key. */
  async #requestStatus(headers: Record<string, string>): Promise<number> {
    const answer = await request('http://gateway/v1/models', { dispatcher: this.#dataPlane, headers }).catch(() => null);
    await answer?.body.dump();
    if (answer === null || answer.statusCode >= 500)
      throw new ValetkeyError('gateway_unreachable', `The gateway does not answer on its socket ${this.#socketPath}.`);
    return answer.statusCode;
  }
}
