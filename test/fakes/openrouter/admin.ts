import { z } from 'zod';

import type { Answer } from '../gateway/answer.ts';
import type { Fault } from '../gateway/faults.ts';
import { DEFAULT_WORKSPACE, type Guardrail, type KeyRecord, type OpenRouterCall, type OpenRouterLedger } from './ledger.ts';

// Sources: OpenRouter's OpenAPI document of 2026-08-22 unless one is named, https://openrouter.ai/docs/api/api-reference.

/** The list of keys has no parameter for it: "the 100 most recent" (guides/overview/auth/management-api-keys). */
const KEYS_PER_PAGE = 100;

/** A request to the provisioning API. */
export interface AdminRequest {
  call: OpenRouterCall;
  /** The id in the path; empty where it has none. */
  id: string;
  query: Record<string, string>;
  body: unknown;
}

const ROUTES: [RegExp, OpenRouterCall][] = [
  [/^POST \/api\/v1\/keys$/, 'mint'],
  [/^GET \/api\/v1\/keys$/, 'list'],
  [/^GET \/api\/v1\/keys\/([^/]+)$/, 'read'],
  [/^PATCH \/api\/v1\/keys\/([^/]+)$/, 'disable'],
  [/^DELETE \/api\/v1\/keys\/([^/]+)$/, 'delete'],
  [/^GET \/api\/v1\/guardrails$/, 'list-guardrails'],
  [/^POST \/api\/v1\/guardrails$/, 'create-guardrail'],
  [/^POST \/api\/v1\/guardrails\/([^/]+)\/assignments\/keys$/, 'assign-guardrail'],
];

const workspaceId = z.uuid().default(DEFAULT_WORKSPACE);
const keySchema = z.strictObject({
  name: z.string().min(1),
  limit: z.number().nullable().default(null),
  limit_reset: z.enum(['daily', 'weekly', 'monthly']).nullable().default(null),
  include_byok_in_limit: z.boolean().default(false),
  // UTC only; a time with only minutes is refused (note in @openrouter/sdk 1.3.19).
  expires_at: z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
    .nullable()
    .default(null),
  workspace_id: workspaceId,
});
/** There is no `expires_at`: the expiry of a key cannot be changed. */
const patchSchema = z.strictObject({
  name: z.string().min(1).optional(),
  disabled: z.boolean().optional(),
  limit: z.number().nullable().optional(),
  limit_reset: z.enum(['daily', 'weekly', 'monthly']).nullable().optional(),
  include_byok_in_limit: z.boolean().optional(),
});
const keysQuery = z.object({
  offset: z.coerce.number().int().min(0).default(0),
  include_disabled: z.string().optional(),
  workspace_id: workspaceId,
});
const guardrailsQuery = z.object({
  offset: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(100).default(50),
  workspace_id: workspaceId,
});
const guardrailSchema = z.object({
  name: z.string().min(1).max(200),
  description: z.string().nullish(),
  allowed_models: z.array(z.string()).min(1).nullable().default(null),
  workspace_id: workspaceId,
});
const assignmentSchema = z.strictObject({ key_hashes: z.array(z.string().min(1)).min(1) });

/** The call of the provisioning API that a request is; null for any other. */
export function routeOf(method: string, path: string): { call: OpenRouterCall; id: string } | null {
  for (const [pattern, call] of ROUTES) {
    const match = pattern.exec(`${method} ${path}`);
    if (match !== null) return { call, id: match[1] ?? '' };
  }
  return null;
}

/** The error of the provisioning API: `{error: {code, message}}`. */
export function adminError(status: number, message: string): Answer {
  return { status, body: { error: { code: status, message } } };
}

/** Does what was asked of the provisioning API, all at once. */
export function operate(ledger: OpenRouterLedger, request: AdminRequest, fault: Fault | null): Answer {
  try {
    return perform(ledger, request, fault);
  } catch (error) {
    if (error instanceof z.ZodError) return adminError(400, 'Invalid request parameters');
    throw error;
  }
}

function perform(ledger: OpenRouterLedger, { call, id, query, body }: AdminRequest, fault: Fault | null): Answer {
  const isDone = fault?.is !== 'ignored';
  switch (call) {
    case 'mint':
      return mint(ledger, keySchema.parse(body), fault);
    case 'list':
      return listKeys(ledger, keysQuery.parse(query), fault);
    case 'read':
      return withKey(ledger, id, (key) => ({ status: 200, body: { data: shownKey(ledger, key) } }));
    case 'disable':
      return withKey(ledger, id, (key) => {
        const { disabled } = patchSchema.parse(body);
        if (isDone && disabled === true) key.disabledAt ??= Date.now();
        if (isDone) key.updatedAt = Date.now();
        if (fault?.is === 'cached') key.cachedMs = fault.ms;
        return { status: 200, body: { data: shownKey(ledger, key) } };
      });
    case 'delete':
      return withKey(ledger, id, (key) => {
        if (isDone) key.deletedAt = Date.now();
        return { status: 200, body: { deleted: true } };
      });
    case 'list-guardrails': {
      const { offset, limit, workspace_id: workspace } = guardrailsQuery.parse(query);
      const listed = ledger.guardrails.filter((guardrail) => guardrail.workspaceId === workspace);
      return { status: 200, body: { data: listed.slice(offset, offset + limit).map(shownGuardrail), total_count: listed.length } };
    }
    case 'create-guardrail': {
      const wanted = guardrailSchema.parse(body);
      const guardrail = ledger.createGuardrail({
        name: wanted.name,
        allowedModels: wanted.allowed_models,
        workspaceId: wanted.workspace_id,
      });
      if (!isDone) ledger.guardrails.pop();
      return { status: 201, body: { data: shownGuardrail(guardrail) } };
    }
    case 'assign-guardrail': {
      const { key_hashes: hashes } = assignmentSchema.parse(body);
      if (!ledger.guardrails.some((guardrail) => guardrail.id === id)) return adminError(404, 'Resource not found');
      const keys = hashes.map((hash) => ledger.find(hash)).filter((key) => key !== undefined);
      // "Assigning replaces any existing assignment."
      if (isDone) for (const key of keys) key.guardrailId = id;
      return { status: 200, body: { assigned_count: keys.length } };
    }
    case 'key':
      return adminError(404, 'Resource not found');
  }
}

/** 201, with the key at the top level and only here; a name may be used by any number of keys. */
function mint(ledger: OpenRouterLedger, wanted: z.output<typeof keySchema>, fault: Fault | null): Answer {
  // Undocumented: what a workspace that does not exist is answered with.
  if (!ledger.workspaces.has(wanted.workspace_id)) return adminError(404, 'Workspace not found');
  const key = ledger[fault?.is === 'ignored' ? 'draft' : 'create'](
    {
      name: wanted.name,
      limit: wanted.limit,
      includeByok: wanted.include_byok_in_limit,
      workspaceId: wanted.workspace_id,
      expiresAt: wanted.expires_at === null ? null : Date.parse(wanted.expires_at),
    },
    fault?.is === 'clock' ? fault.offMs : 0,
  );
  return { status: 201, body: { data: shownKey(ledger, key), key: key.secret } };
}

/** Of one workspace, the default one where none is named; those that are disabled only where the query says so. */
function listKeys(ledger: OpenRouterLedger, { offset, ...query }: z.output<typeof keysQuery>, fault: Fault | null): Answer {
  if (!ledger.workspaces.has(query.workspace_id)) return adminError(404, 'Workspace not found');
  const parity = ledger.calls.length % 2;
  const listed = ledger.keys
    .filter((key) => key.workspaceId === query.workspace_id && (key.deletedAt === null || fault?.is === 'stale'))
    .filter((key) => query.include_disabled === 'true' || key.disabledAt === null)
    .filter((_, index) => fault?.is !== 'flapping' || index % 2 === parity)
    .toReversed();
  const page = fault?.is === 'partial' && offset > 0 ? [] : listed.slice(offset, offset + KEYS_PER_PAGE);
  return { status: 200, body: { data: page.map((key) => shownKey(ledger, key)) } };
}

/** A deleted key is answered with 404, whatever is asked. */
function withKey(ledger: OpenRouterLedger, hash: string, act: (key: KeyRecord) => Answer): Answer {
  const key = ledger.find(hash);
  return key === undefined ? adminError(404, 'API key not found') : act(key);
}

function shownKey(ledger: OpenRouterLedger, key: KeyRecord): object {
  const known = Date.now() - ledger.usageLagMs;
  const usage = ledger.usedUsd(key, false, known);
  const byok = ledger.usedUsd(key, true, known);
  return {
    hash: key.hash,
    name: key.name,
    label: `${key.secret.slice(0, 12)}...${key.secret.slice(-4)}`,
    disabled: key.disabledAt !== null,
    limit: key.limit,
    limit_remaining: key.limit === null ? null : Math.max(0, key.limit - usage - (key.includeByok ? byok : 0)),
    limit_reset: null,
    include_byok_in_limit: key.includeByok,
    usage,
    usage_daily: usage,
    usage_weekly: usage,
    usage_monthly: usage,
    byok_usage: byok,
    byok_usage_daily: byok,
    byok_usage_weekly: byok,
    byok_usage_monthly: byok,
    created_at: new Date(key.createdAt + key.clockOffMs).toISOString(),
    updated_at: key.updatedAt === null ? null : new Date(key.updatedAt).toISOString(),
    expires_at: key.expiresAt === null ? null : new Date(key.expiresAt).toISOString(),
    creator_user_id: 'user_2dHFtVWx2n56w6HkM0000000000',
    workspace_id: key.workspaceId,
  };
}

function shownGuardrail({ id, name, allowedModels, workspaceId: workspace, createdAt }: Guardrail): object {
  return {
    id,
    name,
    allowed_models: allowedModels,
    allowed_providers: null,
    limit_usd: null,
    reset_interval: null,
    created_at: new Date(createdAt).toISOString(),
    updated_at: null,
    workspace_id: workspace,
  };
}
