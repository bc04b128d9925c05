import { z } from 'zod';

import type { Dialect } from '../../contract/dialect.ts';
import { parseJson } from '../../contract/json.ts';
import type { Secret } from '../../secrets/secret.ts';
import { modelStopOfError, type ModelStop } from '../protocols/model-stop.ts';
import { errorEnvelope } from '../server/refusal.ts';

/** A provider's error has a few hundred bytes; a longer one is truncated to this size. */
export const MAX_ERROR_BYTES = 64 * 1024;
const MAX_MESSAGE_CHARS = 4_096;
const MASK = '[hidden]';

const identifier = z.string().max(100).nullish().catch(undefined);
const errorSchema = z.object({
  error: z.object({ type: identifier, code: identifier, param: identifier, message: z.string().nullish().catch(undefined) }),
});

/**
 * Builds the error for the caller from the provider's, in the envelope of the protocol: type, code, parameter and message, nothing else.
 * They are masked: a message can name the organization and the project of the credential, and some upstreams echo the request.
 */
export function errorForCaller(dialect: Dialect, status: number, body: Buffer, credential: Secret): object {
  const { data } = errorSchema.safeParse(parseJson(body.toString()));
  const { type, code, param, message } = data?.error ?? {};
  return errorEnvelope(dialect, status, {
    code: maskOrNull(code ?? null, credential),
    type: maskOrNull(type ?? null, credential) ?? undefined,
    param: maskOrNull(param ?? null, credential),
    message: hideAccount(message ?? `The provider answered with status ${status}.`, credential).slice(0, MAX_MESSAGE_CHARS),
  });
}

/** Reads from a provider's error why the model did not accept a request; null for any other error. */
export function modelStopOfErrorBody(body: Buffer): ModelStop | null {
  return modelStopOfError(errorSchema.safeParse(parseJson(body.toString())).data?.error ?? {});
}

/** Reads the code of a provider's error, else its type; null where it states neither. */
export function errorTypeOf(body: Buffer): string | null {
  const { data } = errorSchema.safeParse(parseJson(body.toString()));
  return data?.error.code ?? data?.error.type ?? null;
}

/** Masks the credential, other keys, and the ids of organizations, projects, workspaces and accounts. */
export function hideAccount(text: string, credential: Secret): string {
  return text
    .replaceAll(credential.reveal(), MASK)
    .replaceAll(/\b(?:sk|rk)-[\w*-]{8,}/g, MASK)
    .replaceAll(/\b(?:org|proj|wrkspc|acct|user|cus)[-_][\w-]{6,}/g, MASK)
    .replaceAll(/\b[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}\b/gi, MASK);
}

function maskOrNull(text: string | null, credential: Secret): string | null {
  return text === null ? null : hideAccount(text, credential);
}
