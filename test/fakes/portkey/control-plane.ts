import { z } from 'zod';

import type { Answer } from '../gateway/answer.ts';
import type { Call, Fault } from '../gateway/faults.ts';
import type { PortkeyLedger, PortkeyRecord } from './ledger.ts';

/** A request of the Admin API. */
export interface ControlRequest {
  call: Call;
  /** Of the key that the path names. */
  id: string | null;
  query: Record<string, string>;
  body: unknown;
}

export interface ControlSettings {
  workspaceId: string;
  /** Keys of a page, at most. How many Portkey allows is not documented. */
  maxPageSize: number;
  /** ms until the analytics know of a request. None is documented. */
  analyticsLagMs: number;
  /** What the analytics answer; null: the figures. 403 is what a plan or a key without analytics meets. */
  analyticsStatus: number | null;
}

// CreateApiKeyObject of the OpenAPI document: name and scopes are required, the limit is a whole number of at least 1.
const createSchema = z.object({
  name: z.string().min(1),
  workspace_id: z.string(),
  scopes: z.array(z.string()),
  usage_limits: z.object({ type: z.enum(['cost', 'tokens']), credit_limit: z.int().min(1) }).optional(),
  expires_at: z.iso.datetime().optional(),
});
const pageSchema = z.object({ workspace_id: z.string(), current_page: z.coerce.number().min(0), page_size: z.coerce.number().min(1) });
const costSchema = z.object({
  workspace_slug: z.string(),
  api_key_ids: z.string(),
  // YYYY-MM-DDTHH:MM:SS±HH:MM, both required (TimeOfGenerationMin and -Max).
  time_of_generation_min: z.iso.datetime({ offset: true, precision: 0 }),
  time_of_generation_max: z.iso.datetime({ offset: true, precision: 0 }),
});

/** Finds the call of a request; null for a path that Portkey does not have. */
export function readRequest(method: string, url: URL, body: unknown): ControlRequest | null {
  const { pathname, searchParams } = url;
  const query = Object.fromEntries(searchParams);
  const [, id = null] = /^\/v1\/api-keys\/([^/]+)$/.exec(pathname) ?? [];
  const request = { id: id === null ? null : decodeURIComponent(id), query, body };
  if (method === 'POST' && pathname === '/v1/api-keys/workspace/service') return { ...request, call: 'mint' };
  if (method === 'GET' && pathname === '/v1/api-keys') return { ...request, call: 'list' };
  if (method === 'GET' && pathname === '/v1/analytics/graphs/cost') return { ...request, call: 'spend' };
  if (id === null) return null;
  if (method === 'GET') return { ...request, call: 'probe' };
  return method === 'DELETE' ? { ...request, call: 'disable' } : null;
}

/** Does what was asked of the control plane, all at once. Statuses and codes: portkey.ai/docs/api-reference/admin-api/error. */
export function operate(ledger: PortkeyLedger, request: ControlRequest, settings: ControlSettings, fault: Fault | null): Answer {
  const { call, id, query, body } = request;
  const key = id === null ? undefined : ledger.find(id);
  switch (call) {
    case 'mint': {
      const { success, data } = createSchema.safeParse(body);
      if (!success) return refusal(400, 'AB01', 'Request Validation Error');
      if (data.workspace_id !== settings.workspaceId) return refusal(404, 'AB08', 'Resource not found');
      const { name, scopes, workspace_id: workspaceId, usage_limits: limits, expires_at: expiresAt } = data;
      const clockOffMs = fault?.is === 'clock' ? fault.offMs : 0;
      const expires = expiresAt === undefined ? Infinity : Date.parse(expiresAt) - clockOffMs;
      const wanted = { name, scopes, workspaceId, limitUsd: limits?.credit_limit ?? null, expiresAt: expires };
      if (fault?.is === 'ignored') return { status: 200, body: { id: 'none', key: 'none', object: 'api-key' } };
      const created = ledger.create(wanted);
      return { status: 200, body: { id: created.id, key: created.secret, object: 'api-key' } };
    }
    case 'list':
      return list(ledger, query, settings, fault);
    case 'probe':
      return key === undefined ? refusal(404, 'AB08', 'Resource not found') : { status: 200, body: describe(key) };
    case 'disable':
      if (key === undefined) return refusal(404, 'AB08', 'Resource not found');
      if (fault?.is !== 'ignored') key.deletedAt = Date.now();
      if (fault?.is === 'cached') key.cachedMs = fault.ms;
      return { status: 200, body: {} };
    case 'spend': {
      const { success, data } = costSchema.safeParse(query);
      if (!success) return refusal(400, 'AB01', 'Request Validation Error');
      if (settings.analyticsStatus !== null) return refusal(settings.analyticsStatus, 'AB03', 'You do not have enough permissions');
      // In cents. A deleted key's requests remain in the logs.
      const total = 100 * ledger.spentUsd(data.api_key_ids.split(','), settings.analyticsLagMs);
      return { status: 200, body: { summary: { total, avg: 0 }, data_points: [], object: 'analytics-graph' } };
    }
    case 'extend':
    case 'delete':
      return refusal(404, 'AB08', 'Resource not found');
  }
}

function list(ledger: PortkeyLedger, query: Record<string, string>, settings: ControlSettings, fault: Fault | null): Answer {
  const { success, data } = pageSchema.safeParse(query);
  if (!success) return refusal(400, 'AB01', 'Request Validation Error');
  if (data.workspace_id !== settings.workspaceId) return refusal(404, 'AB08', 'Resource not found');
  const parity = ledger.calls.length % 2;
  const listed = ledger.keys
    .filter(({ deletedAt }) => deletedAt === null || fault?.is === 'stale')
    .filter((_, index) => fault?.is !== 'flapping' || index % 2 === parity)
    .toReversed();
  const size = Math.min(data.page_size, settings.maxPageSize);
  const page = listed.slice(data.current_page * size, (data.current_page + 1) * size);
  const total = fault?.is === 'partial' ? Math.min(size, listed.length) : listed.length;
  return { status: 200, body: { total, object: 'list', data: page.map(describe) } };
}

/** ApiKeyObject of the OpenAPI document: the secret is masked, and no number says what was spent. */
function describe({ id, name, workspaceId, secret, scopes, createdAt, expiresAt }: PortkeyRecord): object {
  return {
    id,
    key: `${secret.slice(0, 2)}*******${secret.slice(-2)}`,
    name,
    type: 'workspace-service',
    workspace_id: workspaceId,
    status: 'active',
    creation_mode: 'api',
    scopes,
    created_at: new Date(createdAt).toISOString(),
    expires_at: expiresAt === Infinity ? null : new Date(expiresAt).toISOString(),
    object: 'api-key',
  };
}

/** The form of an error of the Admin API: portkey.ai/docs/help-center/you-do-not-have-enough-permissions. */
export function refusal(status: number, errorCode: string, message: string): Answer {
  return { status, body: { success: false, data: { message, errorCode } } };
}
