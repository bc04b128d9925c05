import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import { sumUsd } from '../../contract/money.ts';
import type { KeyRef } from '../../contract/ref.ts';
import type { Usage } from '../../contract/result.ts';
import type { Gateway, GatewayKey, ListedKey, MeteredUsage, MintedKey, MintRequest, UpstreamKey } from '../gateway.ts';
import { formatKeyName, parseKeyName } from '../key-name.ts';
import { AllowLists } from './allow-lists.ts';
import { OpenRouterApi, type ApiKey, type OpenRouterOptions } from './api.ts';
import { checkOpenRouter } from './check.ts';
import { decideSpend } from './decide-spend.ts';

/** How long one call of `spend` waits for OpenRouter's figure; the caller retries. */
const SPEND_TIMEOUT_MS = 8_000;
const MAX_POLL_INTERVAL_MS = 2_000;
/** USD. A limit of zero could mean that there is none. */
export const MIN_LIMIT_USD = 0.01;
/** By how much OpenRouter may round an expiry up. */
const EXPIRY_TOLERANCE_MS = 60_000;

export interface OpenRouterGatewayOptions extends OpenRouterOptions {
  /** `<namespace>/<deployment>`: only keys with it in their name are ours. */
  owner: string;
}

/**
 * OpenRouter as a gateway: each key of a job is a key of its own at OpenRouter, with a limit in USD, an expiry, and a guardrail that lists
 * its models. OpenRouter draws the secret and returns it only once, and a name may be used twice, so a mint first deletes what earlier
 * mints of the ref have left. A key whose id was lost is found by its name in the list of all keys of the workspace, page by page: a
 * workspace of its own keeps that short. There is no `extend`: OpenRouter cannot change the expiry of a key, which therefore is that of
 * the job.
 */
export class OpenRouterGateway implements Gateway {
  readonly name = 'openrouter';
  readonly #options: OpenRouterGatewayOptions;
  readonly #api: OpenRouterApi;
  readonly #allowLists: AllowLists;

  constructor(options: OpenRouterGatewayOptions) {
    this.#options = options;
    this.#api = new OpenRouterApi(options);
    this.#allowLists = new AllowLists(this.#api, options.owner);
  }

  /**
   * The allow-list is in force before the key is handed out: where that fails, the key is deleted, and the next attempt deletes it where
   * that failed as well. A ref with two attempts at once can have two keys for a moment; the ledger accepts the later one's, which an
   * earlier attempt that is slow must not delete.
   */
  async mint({ ref, attempts, tenant, budgetUsd, models, expiresAt }: MintRequest): Promise<UpstreamKey> {
    const earlier = (await this.#findByName(ref)).filter(({ attempt }) => attempt <= attempts);
    await inOrder(earlier, ({ hash }) => this.#api.deleteKey(hash));
    const allowList = { tenant, models };
    const guardrail = await this.#allowLists.prepare(allowList);
    const wanted = {
      name: formatKeyName({ owner: this.#options.owner, ref, attempt: attempts }),
      limitUsd: Math.max(budgetUsd, MIN_LIMIT_USD),
      expiresAt: new Date(Math.ceil(expiresAt.getTime() / 1000) * 1000),
    };
    const { key, secret } = await this.#api.createKey(wanted);
    try {
      checkLimits(key, wanted);
      await this.#allowLists.assign(allowList, guardrail, key.hash);
    } catch (error) {
      await this.#api.deleteKey(key.hash).catch(() => {});
      throw error;
    }
    return { secret, id: key.hash };
  }

  async disable(key: GatewayKey): Promise<void> {
    await inOrder(await this.#hashes(key), (hash) => this.#api.disableKey(hash));
  }

  /** Its record alone does not suffice: how fast it refuses a disabled key is not documented, and an id of another account is unknown. */
  async probe(key: MintedKey): Promise<boolean> {
    for (const hash of await this.#hashes(key)) {
      // Read one by one: the list may be older.
      const read = await this.#api.readKey(hash);
      if (read !== null && !read.disabled) return false;
    }
    return key.mintedSecret === null || this.#api.refuses(key.mintedSecret);
  }

  /**
   * USD are those that OpenRouter has charged for all keys of the ref, what keys of providers cost included; tokens and requests are the
   * proxy's, since OpenRouter counts none per key. How fresh its figure is, is not documented: the call waits until it covers what the
   * proxy has metered, without estimates, and otherwise throws for the caller to retry, until a minute has passed since the end of the
   * key began (`decideSpend`). A request that the proxy has charged by an estimate may still be missing then. Where OpenRouter no longer
   * has the key, the proxy's record is all there is.
   */
  async spend(key: GatewayKey, metered: MeteredUsage): Promise<Usage> {
    const { inputTokens, outputTokens, requests } = metered;
    const giveUpAtMs = performance.now() + SPEND_TIMEOUT_MS;
    const hashes = await this.#hashes(key);
    for (let pauseMs = 250; ; pauseMs = Math.min(2 * pauseMs, MAX_POLL_INTERVAL_MS)) {
      const found: ApiKey[] = [];
      for (const hash of hashes) {
        const read = await this.#api.readKey(hash);
        if (read !== null) found.push(read);
      }
      if (found.length === 0) return { inputTokens, outputTokens, requests, usd: metered.usd };
      const gatewayUsd = sumUsd(found.map(({ usedUsd }) => usedUsd));
      const { usd: meteredUsd, estimatedUsd, sinceEndMs } = metered;
      if (decideSpend({ gatewayUsd, meteredUsd, estimatedUsd, sinceEndMs }).action === 'settle')
        return { inputTokens, outputTokens, requests, usd: gatewayUsd };
      if (performance.now() + pauseMs > giveUpAtMs)
        throw new ValetkeyError('gateway_unreachable', `OpenRouter has not recorded the whole usage of the key ${key.ref} yet.`);
      await sleep(pauseMs);
    }
  }

  async delete(key: GatewayKey): Promise<void> {
    await inOrder(await this.#hashes(key), (hash) => this.#api.deleteKey(hash));
  }

  async *list(): AsyncGenerator<ListedKey> {
    for await (const { name, hash, createdAt } of this.#api.listKeys()) {
      const named = parseKeyName(name);
      if (named !== null) yield { ref: named.ref, id: hash, owner: named.owner, createdAt };
    }
  }

  async check(): Promise<string[]> {
    return checkOpenRouter(this.#api, this.#options.baseUrl, this.#options.workspaceId);
  }

  /** The keys under a ref: the one with the id, and where an answer was lost or mints were repeated, all that have its name. */
  async #hashes({ ref, id, attempts }: GatewayKey): Promise<Set<string>> {
    const known = id === null ? [] : [id];
    if (id !== null && attempts <= 1) return new Set(known);
    return new Set([...known, ...(await this.#findByName(ref)).map(({ hash }) => hash)]);
  }

  async #findByName(ref: KeyRef): Promise<{ hash: string; attempt: number }[]> {
    const found: { hash: string; attempt: number }[] = [];
    for await (const { name, hash } of this.#api.listKeys()) {
      const named = parseKeyName(name);
      if (named?.owner === this.#options.owner && named.ref === ref) found.push({ hash, attempt: named.attempt ?? 0 });
    }
    return found;
  }
}

/** Applies a call to each, one after the other: a failure does not keep the rest from it. Throws the first failure, at the end. */
async function inOrder<T>(items: Iterable<T>, call: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  for (const item of items) await call(item).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

/** A key without its limit or its expiry must not be handed out: an API that ignores a field says so only in its answer. */
function checkLimits({ limitUsd, expiresAt }: ApiKey, wanted: { limitUsd: number; expiresAt: Date }): void {
  const isLimited = limitUsd !== null && limitUsd <= wanted.limitUsd;
  const expires = expiresAt !== null && expiresAt.getTime() <= wanted.expiresAt.getTime() + EXPIRY_TOLERANCE_MS;
  if (!isLimited || !expires)
    throw new ValetkeyError(
      'gateway_refused',
      'OpenRouter ignored the limit or the expiry of a new key, which was deleted: its API may have changed, so update Valetkey.',
    );
}
