import { z } from 'zod';

import type { AdminAnswer } from '../admin-http.ts';
import type { OpenRouterApi } from './api.ts';

/** The expiry of a key is an instant of OpenRouter's clock. */
const MAX_CLOCK_SKEW_MS = 60_000;
const MANAGEMENT_KEYS = 'https://openrouter.ai/settings/management-keys';

const listSchema = z.object({ data: z.array(z.unknown()) });
const ownKeySchema = z.object({ data: z.object({ is_management_key: z.boolean() }) });

/**
 * Checks that keys and guardrails can be managed with our key, and that the clocks agree. Resolves to one sentence per problem, each with
 * what to do and the environment variable, where one can help. Throws nothing.
 */
export async function checkOpenRouter(api: OpenRouterApi, baseUrl: string, workspaceId: string | undefined): Promise<string[]> {
  const keys = await inspect(api, api.keysPath(0));
  if (keys === null)
    return [
      `OpenRouter does not answer at ${new URL(baseUrl).origin}: check VALETKEY_OPENROUTER_BASE_URL, and that this host reaches it, with HTTPS_PROXY where it needs a proxy.`,
    ];
  const problem = await explain(api, keys, workspaceId);
  if (problem !== null) return [problem];
  const guardrails = await inspect(api, api.guardrailsPath(0));
  return [explainGuardrails(guardrails), explainClock(keys.date)].filter((found) => found !== null);
}

async function explain(api: OpenRouterApi, { status, body }: AdminAnswer, workspaceId: string | undefined): Promise<string | null> {
  if (status === 200 && listSchema.safeParse(body).success) return null;
  if (status === 401 || status === 403) return explainKey(await inspect(api, '/v1/key'), status);
  if (status === 429 || status >= 500)
    return `OpenRouter answers with status ${status}: start the worker again later, and check VALETKEY_OPENROUTER_BASE_URL if it lasts.`;
  if ((status === 400 || status === 404) && workspaceId !== undefined)
    return `OpenRouter does not accept the workspace of OPENROUTER_WORKSPACE_ID, with status ${status}: set it to the id of a workspace of the account, or remove it to use the default one.`;
  return `VALETKEY_OPENROUTER_BASE_URL does not lead to OpenRouter’s API, which answered with status ${status}: set it to https://openrouter.ai/api, without /v1, or remove it.`;
}

function explainKey(own: AdminAnswer | null, status: number): string {
  const { data } = ownKeySchema.safeParse(own?.body);
  if (own?.status === 200 && data?.data.is_management_key === false)
    return `OPENROUTER_PROVISIONING_KEY is a key for inference, with which OpenRouter manages no keys: set it to a management key from ${MANAGEMENT_KEYS}.`;
  if (status === 403)
    return `OpenRouter does not let OPENROUTER_PROVISIONING_KEY manage keys: set it to a management key of an administrator, from ${MANAGEMENT_KEYS}.`;
  return `OpenRouter does not accept OPENROUTER_PROVISIONING_KEY, which is unknown, disabled or expired: set it to a management key from ${MANAGEMENT_KEYS}.`;
}

function explainGuardrails(answer: AdminAnswer | null): string | null {
  if (answer?.status === 200 && listSchema.safeParse(answer.body).success) return null;
  if (answer?.status === 401 || answer?.status === 403)
    return `OpenRouter does not let OPENROUTER_PROVISIONING_KEY manage guardrails, which limit the models of a job’s key: set it to a management key of an administrator of the organization, from ${MANAGEMENT_KEYS}.`;
  const outcome = answer === null ? 'no answer' : `status ${answer.status}`;
  return `OpenRouter does not list the guardrails, which limit the models of a job’s key (${outcome}): start the worker again later, and check VALETKEY_OPENROUTER_BASE_URL if it lasts.`;
}

function explainClock(theirs: Date): string | null {
  const aheadMs = Date.now() - theirs.getTime();
  if (Math.abs(aheadMs) <= MAX_CLOCK_SKEW_MS) return null;
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  return `The clock of this host is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} that of OpenRouter, so that keys would expire at the wrong time: synchronize it, for example with NTP.`;
}

async function inspect(api: OpenRouterApi, path: string): Promise<AdminAnswer | null> {
  return api.inspect(path).catch(() => null);
}
