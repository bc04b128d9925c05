import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import type { OutboundProxies } from '../../outbound/proxies.ts';
import type { Secret } from '../../secrets/secret.ts';
import { AdminHttp, type AdminAnswer } from '../admin-http.ts';

const PAGE_SIZE = 100;
/**
 * Portkey's smallest scope that lets a key make requests: all of `/v1/chat/completions`, `/v1/messages` and `/v1/responses` need this one
 * (Portkey-AI/gateway, branch 2.0.0, src/index.ts). It permits nothing of the admin API.
 */
const SCOPES = ['completions.write'];
/** The analytics begin this far before now: longer than a job can last, and within what every plan retains (30 days). */
const ANALYTICS_RANGE_MS = 29 * 86_400_000;
/** The clock of Portkey may be ahead of ours. */
const ANALYTICS_SLACK_MS = 3_600_000;

const createdSchema = z.object({ id: z.string().min(1), key: z.string().regex(/^[\x21-\x7e]+$/) });
const keySchema = z.object({ id: z.string().min(1), name: z.string().nullish(), created_at: z.coerce.date() });
const pageSchema = z.object({ total: z.number(), data: z.array(keySchema) });
const foundSchema = z.object({ id: z.string() });
const costSchema = z.object({ summary: z.object({ total: z.number().nonnegative() }) });
const anySchema = z.object({});

/** The workspace whose keys are managed, and how it is reached. */
export interface PortkeyWorkspace {
  /** URL of Portkey without `/v1`: https://api.portkey.ai, or that of a self-hosted control plane. */
  baseUrl: string;
  /** May create, list, read and delete service keys of the workspace, and read its analytics. */
  adminKey: Secret;
  /** Its slug, `ws-…`: the analytics are found by no other id. */
  workspaceId: string;
  outbound: OutboundProxies;
}

/** A key in Portkey's list. */
export interface PortkeyKey {
  id: string;
  name: string;
  createdAt: Date;
}

/**
 * The calls of Portkey's Admin API that the gateway needs (Portkey-AI/openapi, openapi.yaml of 2026-06-12). Each throws
 * `gateway_unreachable` or `gateway_refused`, and makes one request, `listKeys` one per page.
 */
export class PortkeyApi {
  readonly #http: AdminHttp;
  readonly #workspaceId: string;

  constructor({ baseUrl, adminKey, workspaceId, outbound }: PortkeyWorkspace) {
    this.#http = new AdminHttp({ title: 'Portkey', baseUrl: `${baseUrl}/v1`, auth: { 'x-portkey-api-key': adminKey }, outbound });
    this.#workspaceId = workspaceId;
  }

  /** Creates a key of the workspace, which Portkey draws. `limitUsd`: whole dollars, at least 1. Names need not be unique. */
  async createKey(name: string, limitUsd: number, expiresAt: Date): Promise<{ id: string; key: string }> {
    const body = {
      name,
      workspace_id: this.#workspaceId,
      scopes: SCOPES,
      usage_limits: { type: 'cost', credit_limit: limitUsd },
      expires_at: expiresAt.toISOString(),
    };
    const created = await this.#http.request('POST', '/api-keys/workspace/service', createdSchema, body);
    if (created === null) throw new ValetkeyError('gateway_refused', 'Portkey does not know the workspace: correct PORTKEY_WORKSPACE_ID.');
    return created.value;
  }

  /** Resolves to whether there was such a key. */
  async deleteKey(id: string): Promise<boolean> {
    return (await this.#http.request('DELETE', keyPath(id), anySchema)) !== null;
  }

  async hasKey(id: string): Promise<boolean> {
    return (await this.#http.request('GET', keyPath(id), foundSchema)) !== null;
  }

  /**
   * Lists the workspace's keys. Portkey cannot filter by name. Its pages are counted from 0 by the example of its API, and how many keys
   * a page may have is not documented, so the list ends where it has as many keys as the answers state, or at an empty page. A key can be
   * missed when others are deleted meanwhile, which moves it to an earlier page: whoever must find it lists again.
   */
  async *listKeys(): AsyncGenerator<PortkeyKey> {
    const seen = new Set<string>();
    let repeatedPages = 0;
    for (let page = 0; ; page += 1) {
      const answer = (await this.#http.request('GET', this.#listPath(page, PAGE_SIZE), pageSchema))?.value ?? null;
      if (answer === null || answer.data.length === 0) return;
      const fresh = answer.data.filter(({ id }) => !seen.has(id));
      for (const { id, name, created_at: createdAt } of fresh) {
        seen.add(id);
        yield { id, name: name ?? '', createdAt };
      }
      if (seen.size >= answer.total) return;
      // One repeated page is what a count from 1 looks like.
      repeatedPages = fresh.length === 0 ? repeatedPages + 1 : 0;
      if (repeatedPages === 2)
        throw new ValetkeyError(
          'gateway_unreachable',
          'Portkey repeats a page of its list of keys, so the rest is unknown: the next attempt reads it again.',
        );
    }
  }

  /**
   * Resolves to the USD that a key has spent by Portkey's analytics, also once it is deleted; to null where the plan or our key has no
   * analytics. The documentation states whole cents and no lag; its gateway counts fractions of a cent.
   */
  async spentUsd(id: string): Promise<number | null> {
    const query = {
      workspace_slug: this.#workspaceId,
      api_key_ids: id,
      time_of_generation_min: formatTime(Date.now() - ANALYTICS_RANGE_MS),
      time_of_generation_max: formatTime(Date.now() + ANALYTICS_SLACK_MS),
    };
    const answer = await this.#http.exchange('GET', `/analytics/graphs/cost?${new URLSearchParams(query).toString()}`);
    // 401 is about our key, which an operator replaces: a figure of the proxy's must not become final meanwhile.
    if (answer.status === 400 || answer.status === 403) return null;
    const cost = this.#http.read(answer, costSchema);
    return (cost?.value.summary.total ?? 0) / 100;
  }

  /**
   * Resolves to whether a request with a key itself is refused: Portkey checks the key before it reads the path (Portkey-AI/gateway,
   * branch 2.0.0, src/middlewares/auth), so a list of models costs nothing, and another status than 401 means that the key is accepted.
   * Throws `gateway_unreachable`.
   */
  async refuses(key: Secret): Promise<boolean> {
    const { status } = await this.#http.exchange('GET', '/models', undefined, { 'x-portkey-api-key': key });
    if (status >= 500 || status === 429) throw new ValetkeyError('gateway_unreachable', `Portkey answered with status ${status}.`);
    return status === 401;
  }

  /** Requests the list of keys, for a check of the settings: resolves whatever the status. Throws only `gateway_unreachable`. */
  async tryList(): Promise<AdminAnswer> {
    return this.#http.exchange('GET', this.#listPath(0, 1));
  }

  #listPath(page: number, size: number): string {
    const query = { workspace_id: this.#workspaceId, page_size: String(size), current_page: String(page) };
    return `/api-keys?${new URLSearchParams(query).toString()}`;
  }
}

/** Returns whether an answer to the list of keys is one of Portkey's. */
export function isKeyList(json: unknown): boolean {
  return pageSchema.safeParse(json).success;
}

function keyPath(id: string): string {
  return `/api-keys/${encodeURIComponent(id)}`;
}

/** The documented form, which has no fractions of a second. */
function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}+00:00`;
}
