import { Agent, request } from 'undici';

import { ValetkeyError } from '../job/errors.ts';
import type { KeyRef } from '../job/ref.ts';
import type { Usage } from '../job/result.ts';
import { hashSecret, type Secret } from '../secrets/secret.ts';
import type { Db } from '../store/database.ts';
import { activateKey, disableKey, keyState, keyUsage, recordIntent } from '../store/keys.ts';
import { countOpenRequests } from '../store/requests.ts';
import type { Gateway, KeyIdentity, MintRequest } from './gateway.ts';

const PROBE_TIMEOUT_MS = 5_000;

export interface BuiltinGatewayOptions {
  db: Db;
  /** Derives the secret of a ref, always the same. */
  secretOf: (ref: KeyRef) => Secret;
  /** Unix socket of a replica of the data plane: what the sandboxes of this host use. */
  socketPath: string;
}

/**
 * The built-in gateway as its clients see it. Its control plane is the ledger itself: every replica of the proxy reads
 * the key's row on every request, so what is written here holds everywhere at once.
 */
export class BuiltinGateway implements Gateway {
  readonly name = 'builtin';
  readonly #db: Db;
  readonly #secretOf: (ref: KeyRef) => Secret;
  readonly #dataPlane: Agent;

  constructor({ db, secretOf, socketPath }: BuiltinGatewayOptions) {
    this.#db = db;
    this.#secretOf = secretOf;
    this.#dataPlane = new Agent({ connect: { socketPath }, headersTimeout: PROBE_TIMEOUT_MS, bodyTimeout: PROBE_TIMEOUT_MS });
  }

  async mint(wanted: MintRequest): Promise<void> {
    const state = await recordIntent(this.#db, { ...wanted, gateway: this.name });
    if (state !== 'minting' && state !== 'live') throw keyEnded(wanted.ref);
    await this.#ask({});
    const live = await activateKey(this.#db, wanted.ref, hashSecret(this.#secretOf(wanted.ref)));
    if (!live) throw keyEnded(wanted.ref);
  }

  async secret(ref: KeyRef): Promise<Secret> {
    if ((await keyState(this.#db, ref)) !== 'live') throw keyEnded(ref);
    return this.#secretOf(ref);
  }

  async disable(key: KeyIdentity): Promise<void> {
    await disableKey(this.#db, { ...key, gateway: this.name });
  }

  async probe(ref: KeyRef): Promise<boolean> {
    if ((await keyState(this.#db, ref)) === 'dead') return true;
    const secret = this.#secretOf(ref);
    return (await this.#ask({ authorization: `Bearer ${secret.reveal()}` })) === 401;
  }

  async spend(ref: KeyRef): Promise<Usage> {
    if ((await countOpenRequests(this.#db, ref)) > 0)
      throw new ValetkeyError('gateway_unreachable', `requests of the key ${ref} are still to be recorded`);
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

function keyEnded(ref: KeyRef): ValetkeyError {
  return new ValetkeyError('key_ended', `the key ${ref} has ended`);
}
