import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import type { Usage } from '../../contract/result.ts';
import type { OutboundProxies } from '../../outbound/proxies.ts';
import type { Secret } from '../../secrets/secret.ts';
import { AdminHttp, bearer } from '../admin-http.ts';
import type { Gateway, GatewayKey, ListedKey, MeteredUsage, MintedKey, MintRequest, UpstreamKey } from '../gateway.ts';
import { formatKeyName, parseKeyName } from '../key-name.ts';
import { checkLiteLlm } from './check.ts';
import { keyIdOf, onOwnConnection } from './key-id.ts';
import { anySchema, keyInfoSchema, keyListSchema, spendLogsSchema, type LiteLlmKey } from './schemas.ts';

/**
 * The routes of a job's key. The list has to be explicit: the group `llm_api_routes` also opens raw pass-through routes, and a key without
 * a list may call admin routes (1.106.2).
 */
const ALLOWED_ROUTES = ['/v1/messages', '/v1/messages/count_tokens', '/v1/chat/completions', '/v1/responses', '/v1/models'];
/**
 * The requests of one probe, each on a connection of its own: the processes of LiteLLM cache keys for up to a minute, and a connection
 * reaches one process.
 */
const PROBES = 8;
/** How long one attempt waits for LiteLLM to write its spend logs, which it does in batches. */
const SPEND_TIMEOUT_MS = 12_000;
const SPEND_POLL_MS = 500;
/** LiteLLM's default batch interval is 10 s, and its documentation recommends 60 s: what is missing after twice that never comes. */
export const SPEND_LOST_AFTER_MS = 120_000;
const PAGE_SIZE = 100;
const LOG_PAGE_SIZE = 200;

export interface LiteLlmOptions {
  /** Without a trailing slash and without `/v1`. */
  baseUrl: string;
  /** The master key, or a virtual key of a proxy admin. */
  masterKey: Secret;
  /** The namespace and deployment that mint the keys. */
  owner: string;
  outbound: OutboundProxies;
}

/**
 * LiteLLM's proxy, 1.98 or newer. The caller chooses the secret of a key, so a repeated mint makes the same key, and its id is the SHA-256
 * of the secret. Tenants are LiteLLM's teams, where an operator can set budgets of their own.
 */
export class LiteLlmGateway implements Gateway {
  readonly name = 'litellm';
  readonly #api: AdminHttp;
  readonly #options: LiteLlmOptions;

  constructor(options: LiteLlmOptions) {
    const { baseUrl, masterKey, outbound } = options;
    this.#options = options;
    this.#api = new AdminHttp({ title: 'LiteLLM', baseUrl, auth: bearer(masterKey), outbound });
  }

  async mint({ ref, tenant, upstreamSecret, budgetUsd, models, expiresAt }: MintRequest): Promise<UpstreamKey> {
    const id = keyIdOf(upstreamSecret);
    const wanted = {
      max_budget: budgetUsd,
      models: [...models],
      allowed_routes: ALLOWED_ROUTES,
      team_id: await this.#ensureTeam(tenant),
    };
    const { status } = await this.#api.exchange('POST', '/key/generate', {
      ...wanted,
      key: upstreamSecret.reveal(),
      key_alias: this.#alias(ref),
      duration: durationUntil(expiresAt),
      metadata: { valetkey_ref: ref, valetkey_tenant: tenant },
    });
    // A repeat is refused because its own first request has the alias: only the key itself tells.
    const minted = await this.#info(id);
    if (minted === null)
      throw new ValetkeyError(
        isFinal(status) ? 'gateway_refused' : 'gateway_unreachable',
        `LiteLLM does not have the key ${ref} after it answered ${status} to its mint: look into its log.`,
      );
    // The answer to a repeat is made of the request, and the key may have other limits, for example from LiteLLM's own defaults.
    if (!hasLimits(minted, wanted)) {
      await this.#update(id, { ...wanted, duration: durationUntil(expiresAt) });
      if (!hasLimits(await this.#info(id), wanted))
        throw new ValetkeyError(
          'gateway_refused',
          `LiteLLM gave the key ${ref} other limits than requested: correct default_key_generate_params and upperbound_key_generate_params in its settings.`,
        );
    }
    return { secret: upstreamSecret, id };
  }

  async extend(key: GatewayKey, expiresAt: Date): Promise<void> {
    // LiteLLM counts a duration from the moment of the call.
    for (const id of await this.#idsOf(key)) await this.#update(id, { duration: durationUntil(expiresAt) });
  }

  async disable(key: GatewayKey): Promise<void> {
    for (const id of await this.#idsOf(key)) await this.#api.request('POST', '/key/block', anySchema, { key: id });
  }

  async probe({ upstreamSecret }: MintedKey): Promise<boolean> {
    const answers = await Promise.all(
      Array.from({ length: PROBES }, async () => this.#api.exchange('GET', '/v1/models', undefined, onOwnConnection(upstreamSecret))),
    );
    return answers.every(({ status }) => status === 401);
  }

  async spend(key: GatewayKey, metered: MeteredUsage): Promise<Usage> {
    const [id] = await this.#idsOf(key);
    if (id === undefined) return { inputTokens: 0, outputTokens: 0, requests: 0, usd: 0 };
    const giveUpAtMs = performance.now() + SPEND_TIMEOUT_MS;
    for (;;) {
      const logged = await this.#logged(id, key);
      const isWhole = logged.requests >= metered.completed;
      if (isWhole || metered.sinceEndMs > SPEND_LOST_AFTER_MS) {
        // LiteLLM writes no log of a response whose caller disconnected (1.106.2 and 1.110.2), so the proxy's estimate counts for it.
        const missed = logged.requests < metered.completed + metered.estimated ? metered.estimatedUsd : 0;
        const usd = logged.usd + missed;
        // What LiteLLM has lost for good counts as the proxy metered it.
        return { ...logged, requests: Math.max(logged.requests, metered.requests), usd: isWhole ? usd : Math.max(usd, metered.usd) };
      }
      if (performance.now() > giveUpAtMs)
        throw new ValetkeyError('gateway_unreachable', `LiteLLM has not logged all requests of the key ${key.ref} yet.`);
      await sleep(SPEND_POLL_MS);
    }
  }

  async delete(key: GatewayKey): Promise<void> {
    for (const id of await this.#idsOf(key)) await this.#api.request('POST', '/key/delete', anySchema, { keys: [id] });
  }

  async *list(): AsyncIterable<ListedKey> {
    for (let page = 1, pages = 1; page <= pages; page += 1) {
      const path = `/key/list?return_full_object=true&page=${page}&size=${PAGE_SIZE}`;
      const listed = await this.#api.request('GET', path, keyListSchema);
      pages = listed?.value.total_pages ?? 0;
      for (const { token, key_alias: alias, created_at: createdAt } of listed?.value.keys ?? []) {
        const named = alias === null ? null : parseKeyName(alias);
        if (named !== null) yield { ref: named.ref, id: token, owner: named.owner, createdAt: new Date(createdAt) };
      }
    }
  }

  async check(): Promise<string[]> {
    return checkLiteLlm(this.#api);
  }

  #alias(ref: GatewayKey['ref']): string {
    return formatKeyName({ owner: this.#options.owner, ref, attempt: null });
  }

  /** Lists the ids of a key: the one on record, else those of its alias. */
  async #idsOf({ ref, id }: GatewayKey): Promise<string[]> {
    if (id !== null) return [id];
    const path = `/key/list?return_full_object=true&size=${PAGE_SIZE}&key_alias=${encodeURIComponent(this.#alias(ref))}`;
    return ((await this.#api.request('GET', path, keyListSchema))?.value.keys ?? []).map(({ token }) => token);
  }

  /** Resolves to null for an unknown or deleted key. */
  async #info(id: string): Promise<LiteLlmKey['info'] | null> {
    const info = (await this.#api.request('GET', `/key/info?key=${id}`, keyInfoSchema))?.value.info ?? null;
    return info?.status === 'deleted' ? null : info;
  }

  async #update(id: string, change: object): Promise<void> {
    await this.#api.request('POST', '/key/update', anySchema, { key: id, ...change });
  }

  async #logged(id: string, { ref }: GatewayKey): Promise<Usage> {
    const logged = { inputTokens: 0, outputTokens: 0, requests: 0, usd: 0 };
    for (let page = 1, pages = 1; page <= pages; page += 1) {
      const path = `/spend/logs/v2?api_key=${id}&${allTime()}&page=${page}&page_size=${LOG_PAGE_SIZE}`;
      const logs = await this.#api.request('GET', path, spendLogsSchema);
      if (logs === null)
        throw new ValetkeyError(
          'gateway_unreachable',
          `LiteLLM does not know the route of the spend logs, which has the spend of the key ${ref}: update it to 1.98 or newer.`,
        );
      pages = logs.value.total_pages;
      for (const row of logs.value.data) {
        if (row.status === 'failure') continue;
        logged.inputTokens += row.prompt_tokens;
        logged.outputTokens += row.completion_tokens;
        logged.requests += 1;
        logged.usd += row.spend;
      }
    }
    return logged;
  }

  /** Creates the team of a tenant unless it is there. Resolves to its id. */
  async #ensureTeam(tenant: string): Promise<string> {
    const id = `valetkey/${this.#options.owner}/${tenant}`;
    const { status } = await this.#api.exchange('POST', '/team/new', { team_id: id, team_alias: `Valetkey tenant ${tenant}` });
    // A key of a team that is not there is minted, and then refused with each request (1.92.0).
    if (status >= 300 && (await this.#api.request('GET', `/team/info?team_id=${encodeURIComponent(id)}`, anySchema)) === null)
      throw new ValetkeyError(
        isFinal(status) ? 'gateway_refused' : 'gateway_unreachable',
        `LiteLLM did not make the team of the tenant ${tenant}: it answered ${status}.`,
      );
    return id;
  }
}

/** Whether a repeat of a request with this status is pointless. After a success, a database that lags may not show the result yet. */
function isFinal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 429;
}

function hasLimits(
  info: LiteLlmKey['info'] | null,
  wanted: { max_budget: number; models: readonly string[]; allowed_routes: readonly string[]; team_id: string },
): boolean {
  if (info === null) return false;
  // A key that does not expire would outlive an outage of ours.
  return (
    info.expires !== null &&
    info.max_budget === wanted.max_budget &&
    sameSet(info.models, wanted.models) &&
    sameSet(info.allowed_routes, wanted.allowed_routes) &&
    info.team_id === wanted.team_id
  );
}

function durationUntil(expiresAt: Date): string {
  return `${Math.max(1, Math.ceil((expiresAt.getTime() - Date.now()) / 1000))}s`;
}

/** The route wants a range. */
function allTime(): string {
  const tomorrow = new Date(Date.now() + 86_400_000);
  return `start_date=${encodeURIComponent('2020-01-01 00:00:00')}&end_date=${encodeURIComponent(formatTime(tomorrow))}`;
}

function formatTime(at: Date): string {
  return at.toISOString().slice(0, 19).replace('T', ' ');
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.toSorted().join('\n') === b.toSorted().join('\n');
}
