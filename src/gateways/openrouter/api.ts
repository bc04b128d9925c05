import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import type { OutboundProxies } from '../../outbound/proxies.ts';
import { Secret } from '../../secrets/secret.ts';
import { AdminHttp, bearer, type AdminAnswer } from '../admin-http.ts';

/** Of the list of keys: fixed, and without a parameter (https://openrouter.ai/docs/api/api-reference/api-keys/list). */
const KEYS_PER_PAGE = 100;
/** The most that the list of guardrails allows. */
const GUARDRAILS_PER_PAGE = 100;
/** Keys that two pages share, so that keys which are deleted between the two requests push no other key past the second. */
const OVERLAP = 10;

const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const keySchema = z.object({
  hash: z.string().min(1),
  name: z.string(),
  disabled: z.boolean(),
  limit: z.number().nullable(),
  usage: z.number(),
  byok_usage: z.number(),
  include_byok_in_limit: z.boolean(),
  created_at: instant,
  expires_at: instant.nullish(),
});
const oneKeySchema = z.object({ data: keySchema });
const keysSchema = z.object({ data: z.array(keySchema) });
const createdSchema = z.object({ key: z.string().min(1), data: keySchema });
const deletedSchema = z.object({ deleted: z.literal(true) });
const guardrailSchema = z.object({ id: z.string().min(1), name: z.string(), created_at: instant });
const oneGuardrailSchema = z.object({ data: guardrailSchema });
const guardrailsSchema = z.object({ data: z.array(guardrailSchema) });
const assignedSchema = z.object({ assigned_count: z.number() });

/** A key as OpenRouter reports it. */
export interface ApiKey {
  /** OpenRouter's id of the key. */
  hash: string;
  name: string;
  disabled: boolean;
  /** USD; null: unlimited. */
  limitUsd: number | null;
  /** USD of all time that count towards the limit. */
  usedUsd: number;
  createdAt: Date;
  /** Null: never. */
  expiresAt: Date | null;
}

export interface OpenRouterOptions {
  /** The URL of the API without `/v1`: https://openrouter.ai/api. */
  baseUrl: string;
  /** A management key, which OpenRouter earlier called a provisioning key: it cannot be used for inference. */
  provisioningKey: Secret;
  /** Undefined: the account's default workspace. */
  workspaceId?: string | undefined;
  outbound: OutboundProxies;
}

/**
 * OpenRouter's API for keys and guardrails, as its OpenAPI document of 2026-08-22 describes it. Its own SDK is not used: that one retries
 * the creation of a key, which makes a second one. Every method throws `gateway_unreachable` and `gateway_refused` as `AdminHttp` does.
 */
export class OpenRouterApi {
  readonly #http: AdminHttp;
  readonly #workspaceId: string | undefined;

  constructor({ baseUrl, provisioningKey, workspaceId, outbound }: OpenRouterOptions) {
    this.#http = new AdminHttp({ title: 'OpenRouter', baseUrl, auth: bearer(provisioningKey), outbound });
    this.#workspaceId = workspaceId;
  }

  /**
   * Lists the keys of the workspace, the disabled ones included, the newest first. Throws also where so many keys were deleted during the
   * list that some may be missing.
   */
  async *listKeys(): AsyncGenerator<ApiKey> {
    const seen = new Set<string>();
    for (let offset = 0; ; offset += KEYS_PER_PAGE - OVERLAP) {
      const answer = await this.#http.request('GET', this.keysPath(offset), keysSchema);
      if (answer === null) throw noSuchAddress();
      const page = answer.value.data;
      if (seen.size > 0 && !page.some(({ hash }) => seen.has(hash)))
        throw new ValetkeyError(
          'gateway_unreachable',
          'OpenRouter’s list of keys changed while it was read, so some may be missing: the next attempt reads it again.',
        );
      for (const key of page) {
        if (seen.has(key.hash)) continue;
        seen.add(key.hash);
        yield toApiKey(key);
      }
      if (page.length < KEYS_PER_PAGE) return;
    }
  }

  /** Reads a key; null for an unknown or deleted one. */
  async readKey(hash: string): Promise<ApiKey | null> {
    const answer = await this.#http.request('GET', keyPath(hash), oneKeySchema);
    return answer === null ? null : toApiKey(answer.value.data);
  }

  /** Creates a key; a repeat creates another, since names are not unique. */
  async createKey(wanted: { name: string; limitUsd: number; expiresAt: Date }): Promise<{ key: ApiKey; secret: Secret }> {
    const answer = await this.#http.request('POST', '/v1/keys', createdSchema, {
      name: wanted.name,
      limit: wanted.limitUsd,
      limit_reset: null,
      // Without it, what a key of a provider costs would never reach the limit.
      include_byok_in_limit: true,
      // UTC with seconds: a time with only minutes is refused (@openrouter/sdk 1.3.19).
      expires_at: wanted.expiresAt.toISOString().replace('.000Z', 'Z'),
      ...this.#inWorkspace(),
    });
    if (answer === null) throw noSuchAddress();
    return { key: toApiKey(answer.value.data), secret: new Secret(answer.value.key) };
  }

  /** Disables a key; an unknown one is none of its concern. */
  async disableKey(hash: string): Promise<void> {
    await this.#http.request('PATCH', keyPath(hash), oneKeySchema, { disabled: true });
  }

  /** Deletes a key; an unknown one is deleted already. */
  async deleteKey(hash: string): Promise<void> {
    await this.#http.request('DELETE', keyPath(hash), deletedSchema);
  }

  /** Returns the id of the oldest guardrail of that name; null where there is none. */
  async findGuardrail(name: string): Promise<string | null> {
    const found: z.output<typeof guardrailSchema>[] = [];
    for (let offset = 0; ; offset += GUARDRAILS_PER_PAGE) {
      const answer = await this.#http.request('GET', this.guardrailsPath(offset), guardrailsSchema);
      if (answer === null) throw noSuchAddress();
      const page = answer.value.data;
      found.push(...page.filter((guardrail) => guardrail.name === name));
      if (page.length < GUARDRAILS_PER_PAGE) break;
    }
    found.sort((left, right) => left.created_at.getTime() - right.created_at.getTime() || (left.id < right.id ? -1 : 1));
    return found[0]?.id ?? null;
  }

  /** Creates a guardrail that allows only these models, and returns its id. It is in force for the keys that it is assigned to. */
  async createGuardrail(wanted: { name: string; description: string; models: readonly string[] }): Promise<string> {
    const { models, ...named } = wanted;
    const body = { ...named, allowed_models: models, ...this.#inWorkspace() };
    const answer = await this.#http.request('POST', '/v1/guardrails', oneGuardrailSchema, body);
    if (answer === null) throw noSuchAddress();
    return answer.value.data.id;
  }

  /** Assigns a guardrail to a key, in place of any other. Returns false where one of the two does not exist. */
  async assignGuardrail(id: string, hash: string): Promise<boolean> {
    const path = `/v1/guardrails/${encodeURIComponent(id)}/assignments/keys`;
    const answer = await this.#http.request('POST', path, assignedSchema, { key_hashes: [hash] });
    return answer !== null && answer.value.assigned_count === 1;
  }

  /** Resolves to whether a request with a key itself is refused; one that describes the key costs nothing. Throws `gateway_unreachable`. */
  async refuses(key: Secret): Promise<boolean> {
    const { status } = await this.#http.exchange('GET', '/v1/key', undefined, bearer(key));
    if (status >= 500 || status === 429) throw new ValetkeyError('gateway_unreachable', `OpenRouter answered with status ${status}.`);
    return status === 401;
  }

  /** Makes a GET request for a check, whose statuses need an explanation each. */
  async inspect(path: string): Promise<AdminAnswer> {
    return this.#http.exchange('GET', path);
  }

  /** The path of a page of the list of keys. */
  keysPath(offset: number): string {
    return `/v1/keys?${new URLSearchParams({ offset: String(offset), include_disabled: 'true', ...this.#inWorkspace() }).toString()}`;
  }

  /** The path of a page of the list of guardrails. */
  guardrailsPath(offset: number): string {
    const page = { offset: String(offset), limit: String(GUARDRAILS_PER_PAGE) };
    return `/v1/guardrails?${new URLSearchParams({ ...page, ...this.#inWorkspace() }).toString()}`;
  }

  #inWorkspace(): { workspace_id?: string } {
    return this.#workspaceId === undefined ? {} : { workspace_id: this.#workspaceId };
  }
}

function keyPath(hash: string): string {
  return `/v1/keys/${encodeURIComponent(hash)}`;
}

function toApiKey(key: z.output<typeof keySchema>): ApiKey {
  const expiresAt = key.expires_at ?? null;
  return {
    hash: key.hash,
    name: key.name,
    disabled: key.disabled,
    limitUsd: key.limit,
    usedUsd: key.usage + (key.include_byok_in_limit ? key.byok_usage : 0),
    createdAt: key.created_at,
    expiresAt,
  };
}

function noSuchAddress(): ValetkeyError {
  return new ValetkeyError(
    'gateway_refused',
    'OpenRouter has no such address or workspace: check VALETKEY_OPENROUTER_BASE_URL and OPENROUTER_WORKSPACE_ID.',
  );
}
