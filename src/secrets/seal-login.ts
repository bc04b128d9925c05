import { decodeProtectedHeader } from 'jose';
import { z } from 'zod';

import type { Dialect } from '../contract/dialect.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { parseJson } from '../contract/json.ts';
import { tenantSchema } from '../contract/spec.ts';
import { completeLogin, loginSchema, type Login } from './login.ts';
import { sealWithHeader } from './seal.ts';
import type { Unsealer } from './unsealer.ts';

/** Bytes of JSON: once sealed, a login still fits into its field. The access token of a ChatGPT plan has some 2,000. */
const MAX_LOGIN_BYTES = 5_500;

/** Whom a login is sealed for. */
export interface SealLoginOptions {
  /** The provider of the plan: "anthropic" for Claude, "openai" for ChatGPT. */
  provider: Dialect;
  /** The tenant whose plan it is. */
  tenant: string;
  /** The public key of the gateways. */
  publicKey: string;
}

const optionsSchema = z.object({ tenant: tenantSchema });
const sealedHeaderSchema = z.object({ kind: z.literal('oauth'), expiresAt: z.number().optional(), refreshable: z.boolean() });

/**
 * Seals a login to a Claude or ChatGPT plan, to be stored with `client.credentials.add` for the strategy `subscription`. Only gateways open
 * it. Its header says that it is a login, when it expires and whether it can be refreshed: that is readable, and authenticated.
 * @throws `invalid_spec`, and `invalid_config` for an invalid public key
 */
export async function sealLogin(login: Login, { provider, tenant, publicKey }: SealLoginOptions): Promise<string> {
  const { data, error } = loginSchema.safeParse(login);
  if (data === undefined) throw invalidLogin(error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
  const owner = optionsSchema.safeParse({ tenant });
  if (!owner.success) throw invalidLogin(`tenant: ${owner.error.issues[0]?.message ?? 'must be a tenant id'}`);
  const { accessToken, refreshToken, expiresAt, accountId } = completeLogin(data);
  const content = JSON.stringify({ accessToken, refreshToken, expiresAt, accountId });
  if (Buffer.byteLength(content) > MAX_LOGIN_BYTES) throw invalidLogin(`must be at most ${MAX_LOGIN_BYTES} bytes of JSON`);
  const header = {
    purpose: 'upstream',
    provider,
    tenant,
    kind: 'oauth',
    ...(expiresAt === undefined ? {} : { expiresAt }),
    refreshable: refreshToken !== undefined,
  } as const;
  return sealWithHeader(content, header, publicKey);
}

/** What the header of a sealed login says. */
export interface LoginSeal {
  /** Epoch ms; null where the access token does not expire, or that is unknown. */
  expiresAtMs: number | null;
  isRefreshable: boolean;
}

/** Reads the header of a sealed login; null for any other text. It is authenticated only once the login is opened. */
export function readLoginSeal(sealed: string): LoginSeal | null {
  try {
    const { data } = sealedHeaderSchema.safeParse(decodeProtectedHeader(sealed));
    return data === undefined ? null : { expiresAtMs: data.expiresAt ?? null, isRefreshable: data.refreshable };
  } catch {
    return null;
  }
}

/** Returns whether a login has expired and cannot be refreshed. */
export function isLoginOver({ expiresAtMs, isRefreshable }: LoginSeal, nowMs = Date.now()): boolean {
  return !isRefreshable && expiresAtMs !== null && expiresAtMs <= nowMs;
}

/** Opens a sealed login of a tenant. @throws `sealed_unreadable` */
export async function openLogin(unsealer: Unsealer, sealed: string, owner: { provider: Dialect; tenant: string }): Promise<Login> {
  const content = await unsealer.open(sealed, { purpose: 'upstream', ...owner });
  const { data } = loginSchema.safeParse(parseJson(content.reveal()));
  if (data !== undefined && readLoginSeal(sealed) !== null) return data;
  throw new ValetkeyError('sealed_unreadable', 'The sealed credential is not a login to a plan.');
}

function invalidLogin(message: string): ValetkeyError {
  return new ValetkeyError('invalid_spec', `login: ${message}`, [{ path: 'login', message }]);
}
