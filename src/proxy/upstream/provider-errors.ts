import { z } from 'zod';

import type { Dialect } from '../../contract/dialect.ts';
import type { Secret } from '../../secrets/secret.ts';
import { modelStopOfError, type ModelStop } from '../protocols/model-stop.ts';
import { errorEnvelope } from '../server/refusal.ts';

/** A provider's error is a few hundred bytes; of a longer one no more is read. */
export const MAX_ERROR_BYTES = 64 * 1024;
const MAX_MESSAGE_CHARS = 4_096;
const MASK = '[hidden]';

const short = z.string().max(100).nullish().catch(undefined);
const errorSchema = z.object({
  error: z.object({ type: short, code: short, param: short, message: z.string().nullish().catch(undefined) }),
});

/**
 * The provider's error as its caller gets it, in the envelope of the protocol: type, code, parameter and message, nothing else. Its
 * message can name the organization and the project of the credential, and some upstreams echo what they were sent.
 */
export function errorForCaller(dialect: Dialect, status: number, body: Buffer, credential: Secret): object {
  const { data } = errorSchema.safeParse(parsed(body));
  const { type, code, param, message } = data?.error ?? {};
  return errorEnvelope(dialect, status, {
    code: hidden(code ?? null, credential),
    type: hidden(type ?? null, credential) ?? undefined,
    param: hidden(param ?? null, credential),
    message: hideAccount(message ?? `The provider answered ${status}.`, credential).slice(0, MAX_MESSAGE_CHARS),
  });
}

/** Why the model did not take a request, as its provider's error says it; null for any other error. */
export function modelStopOfErrorBody(body: Buffer): ModelStop | null {
  return modelStopOfError(errorSchema.safeParse(parsed(body)).data?.error ?? {});
}

/** The code of a provider's error, else its type; null where it states neither. */
export function errorTypeOf(body: Buffer): string | null {
  const { data } = errorSchema.safeParse(parsed(body));
  return data?.error.code ?? data?.error.type ?? null;
}

/** Hides the credential, other keys, and the ids of organizations, projects, workspaces and accounts. */
export function hideAccount(text: string, credential: Secret): string {
  return text
    .replaceAll(credential.reveal(), MASK)
    .replaceAll(/\b(?:sk|rk)-[\w*-]{8,}/g, MASK)
    .replaceAll(/\b(?:org|proj|wrkspc|acct|user|cus)[-_][\w-]{6,}/g, MASK)
    .replaceAll(/\b[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}\b/gi, MASK);
}

function hidden(text: string | null, credential: Secret): string | null {
  return text === null ? null : hideAccount(text, credential);
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
