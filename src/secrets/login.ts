import { decodeJwt } from 'jose';
import { z } from 'zod';

import { CREDENTIAL_PATTERN } from '../contract/credential.ts';

/** A login to a Claude or ChatGPT plan, as the provider's OAuth server issued it. */
export interface Login {
  /** What is sent to the provider. */
  accessToken: string;
  /** Single-use: each refresh returns the next one. Without it the login ends with its access token. */
  refreshToken?: string | undefined;
  /** Epoch ms. Default: what the access token says, where it is a JWT. */
  expiresAt?: number | undefined;
  /** The ChatGPT account. Default: what the access token says. */
  accountId?: string | undefined;
}

// Both become part of a header.
const tokenSchema = z.string().regex(CREDENTIAL_PATTERN, 'must be one word of printable ASCII');
const accountSchema = z.string().regex(/^[\w.-]{1,128}$/, 'must be the id of an account');

export const loginSchema = z.strictObject({
  accessToken: tokenSchema,
  refreshToken: tokenSchema.optional(),
  expiresAt: z.number().int().positive().optional(),
  accountId: accountSchema.optional(),
});

const claimsSchema = z.object({
  exp: z.number().positive().optional().catch(undefined),
  // As Codex reads it; not tried with a real plan.
  'https://api.openai.com/auth': z.object({ chatgpt_account_id: accountSchema }).optional().catch(undefined),
});

/** Adds what the access token itself says. It is not verified: the provider that receives it does that. */
export function completeLogin(login: Login): Login {
  const { exp, 'https://api.openai.com/auth': auth } = claimsOf(login.accessToken);
  const expiresAt = login.expiresAt ?? (exp === undefined ? undefined : Math.floor(exp * 1000));
  return { ...login, expiresAt, accountId: login.accountId ?? auth?.chatgpt_account_id };
}

function claimsOf(token: string): z.output<typeof claimsSchema> {
  try {
    return claimsSchema.parse(decodeJwt(token));
  } catch {
    return {};
  }
}
