import { setTimeout as sleep } from 'node:timers/promises';

import { Agent, request } from 'undici';

import { ValetkeyError } from '../../contract/errors.ts';
import type { KeyRef } from '../../contract/ref.ts';
import type { Usage } from '../../contract/result.ts';
import type { Db } from '../../store/database.ts';
import { keyUsage } from '../../store/keys.ts';
import { chargeAbandoned, countOpenRequests } from '../../store/request-records.ts';
import type { Gateway, MintedKey } from '../gateway.ts';

const PROBE_TIMEOUT_MS = 5_000;
/** A little more than the proxy reads on for the usage of an answer whose key has ended. */
const SPEND_TIMEOUT_MS = 9_000;
const MAX_PAUSE_MS = 400;
/**
 * How long Postgres must have answered before a replica of the proxy that is silent is taken for gone: none could say that it is there while
 * Postgres was away. Two of their beats.
 */
const TRUST_BEATS_AFTER_MS = 4_500;
/** An answer of Postgres that takes so long is an outage. */
const OUTAGE_MS = 1_000;
/** Without a heartbeat for so long a replica of the proxy is gone. */
const PROXY_GONE_AFTER_S = 15;

export interface BuiltinGatewayOptions {
  db: Db;
  /** Unix socket of a replica of the data plane: what the sandboxes of this host use. */
  socketPath: string;
}

/**
 * The built-in gateway as its clients see it. Its control plane is the ledger itself: every replica of the proxy reads the key's
 * row on every request, so what its caller put on record holds everywhere at once, and there is nothing to do beside it.
 */
export class BuiltinGateway implements Gateway {
  readonly name = 'builtin';
  readonly #db: Db;
  readonly #dataPlane: Agent;

  constructor({ db, socketPath }: BuiltinGatewayOptions) {
    this.#db = db;
    // Each request over a connection of its own: the proxy answers slowly where one connection is refused again and again.
    this.#dataPlane = new Agent({
      connect: { socketPath },
      pipelining: 0,
      headersTimeout: PROBE_TIMEOUT_MS,
      bodyTimeout: PROBE_TIMEOUT_MS,
    });
  }

  async mint(): Promise<void> {
    await this.#ask({});
  }

  async extend(): Promise<void> {}

  async disable(): Promise<void> {}

  /** One that the ledger never knew as active was never accepted: then it needs no request, and the proxy may be down. */
  async probe({ secret, wasMinted }: MintedKey): Promise<boolean> {
    return !wasMinted || (await this.#ask({ authorization: `Bearer ${secret.reveal()}` })) === 401;
  }

  async spend(ref: KeyRef): Promise<Usage> {
    const giveUpMs = performance.now() + SPEND_TIMEOUT_MS;
    let answeringSinceMs = performance.now();
    for (let pauseMs = 25; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      const askedMs = performance.now();
      if ((await countOpenRequests(this.#db, ref)) === 0) break;
      if (performance.now() - askedMs > OUTAGE_MS) answeringSinceMs = performance.now();
      const isTrusted = performance.now() - answeringSinceMs > TRUST_BEATS_AFTER_MS;
      if (isTrusted && (await chargeAbandoned(this.#db, { ref, proxyGoneAfterS: PROXY_GONE_AFTER_S })) > 0) continue;
      if (performance.now() > giveUpMs)
        throw new ValetkeyError('gateway_unreachable', `Requests of the key ${ref} are still to be recorded.`);
      await sleep(pauseMs);
    }
    return keyUsage(this.#db, ref);
  }

  /** The status of a request that costs nothing. 5xx is no answer: the proxy could not look the key up. */
  async #ask(headers: Record<string, string>): Promise<number> {
    const answer = await request('http://gateway/v1/models', { dispatcher: this.#dataPlane, headers }).catch(() => null);
    await answer?.body.dump();
    if (answer === null || answer.statusCode >= 500)
      throw new ValetkeyError('gateway_unreachable', 'the gateway does not answer on its socket');
    return answer.statusCode;
  }
}
