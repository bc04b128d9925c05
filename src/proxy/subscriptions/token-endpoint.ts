import { request, type Dispatcher } from 'undici';
import { z } from 'zod';

import type { Dialect } from '../../contract/dialect.ts';
import { parseJson } from '../../contract/json.ts';
import { readBounded } from '../../outbound/read-bounded.ts';
import type { Login } from '../../secrets/login.ts';

/** An answer has some 5 KB: three JWTs. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** The public OAuth clients that the logins of Claude Code and Codex were issued to. Not tried with real plans. */
const CLIENT_IDS: Record<Dialect, string> = {
  anthropic: '9d1c250a-e61b-44d9-88ed-5944d1962f5e',
  openai: 'app_EMoamEEZ73f0CkXaXp7hrann',
};

/** Codes by which a token endpoint refuses a refresh token for good: RFC 6749 §5.2, and those of OpenAI that Codex knows. */
const REFUSALS = new Set([
  'invalid_grant',
  'invalid_refresh_token',
  'refresh_token_expired',
  'refresh_token_reused',
  'refresh_token_invalidated',
  'token_expired',
]);

/**
 * How a refresh ended. `issued`: the refresh token is used up, and the login holds the next one. `refused`: it is not valid (any more).
 * `failed`: the endpoint did not answer as expected; whether it has used up the refresh token is unknown.
 */
export type RefreshOutcome = { kind: 'issued'; login: Login } | { kind: 'refused'; why: string } | { kind: 'failed'; why: string };

/** Where a provider refreshes logins. */
export interface TokenEndpoint {
  url: string;
  dispatcher: Dispatcher;
}

const tokensSchema = z.object({
  access_token: z.string().min(1),
  // Where there is none, the one that was sent stays valid (RFC 6749 §6).
  refresh_token: z.string().min(1).nullish(),
  /** Seconds. */
  expires_in: z.number().positive().nullish(),
});
const identifier = z.string().regex(/^\w{1,64}$/);
const errorSchema = z.object({ error: z.union([identifier, z.object({ code: identifier }).transform(({ code }) => code)]) });

/**
 * Sends a login's refresh token to the token endpoint of its provider, once, and follows no redirect. Throws nothing. No part of the
 * answer is in the outcome but the code of an error: the rest holds tokens.
 */
export async function refreshLogin(
  { url, dispatcher }: TokenEndpoint,
  provider: Dialect,
  { refreshToken, accountId }: Login,
  timeoutMs: number,
): Promise<RefreshOutcome> {
  try {
    const answer = await request(url, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: CLIENT_IDS[provider] }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const body = parseJson((await readBounded(answer.body, MAX_ANSWER_BYTES))?.toString() ?? '');
    if (answer.statusCode !== 200) return refusalOf(provider, answer.statusCode, errorSchema.safeParse(body).data?.error);
    const { data } = tokensSchema.safeParse(body);
    if (data === undefined) return { kind: 'failed', why: 'unreadable' };
    const { access_token: accessToken, refresh_token: next, expires_in: seconds } = data;
    const expiresAt = seconds == null ? undefined : Date.now() + Math.floor(seconds * 1000);
    return { kind: 'issued', login: { accessToken, refreshToken: next ?? refreshToken, expiresAt, accountId } };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : error instanceof Error ? error.name : 'unknown';
    return { kind: 'failed', why: code };
  }
}

function refusalOf(provider: Dialect, status: number, code: string | undefined): RefreshOutcome {
  const why = code ?? String(status);
  // Codex takes every 401 of OpenAI's endpoint as final. A client that is not known is no matter of the login.
  const isFinal = (code !== undefined && REFUSALS.has(code)) || (provider === 'openai' && status === 401 && code !== 'invalid_client');
  return { kind: isFinal && status >= 400 && status < 500 ? 'refused' : 'failed', why };
}
