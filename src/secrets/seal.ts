import { CompactEncrypt, decodeProtectedHeader } from 'jose';

import type { Dialect } from '../contract/dialect.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { jobSpecSchema } from '../contract/spec.ts';
import { readPublicKey } from './sealing-key.ts';

/** Bytes of UTF-8: sealed it fits where a job holds it. */
const MAX_SECRET_BYTES = 4096;
/** A shorter one would be masked in many a text that does not hold it. */
export const MIN_TOOL_SECRET_CHARS = 8;

export const SEAL = { alg: 'ECDH-ES', enc: 'A256GCM' } as const;

/**
 * What a sealed secret is for: a job's token for a git server or a secret for its tools, which its tenant alone may use, or the gateway's own credential at a
 * provider, for one tenant where it names one, else for the organization. Readable in its header and bound to it; it opens for
 * nothing else.
 */
export type SealedFor = { purpose: 'git-token' | 'tool'; tenant: string } | { purpose: 'upstream'; dialect: Dialect; tenant?: string };
export type SealPurpose = SealedFor['purpose'];

/** All that the header of any sealed secret says of that. */
export const SEALED_FOR = ['tenant', 'purpose', 'dialect'] as const;

/** `publicKey`: what `valetkey sealing-key` or `valetkey keyring` printed as the public key: a JWK, or that in base64. */
export type SealOptions = SealedFor & { publicKey: string };

/**
 * Seals a secret so that it can stand in a job, or in the store: only workers and gateways open it, for what it is for. A compact
 * JWE (RFC 7516), another one each time: `submit` takes jobs that differ in that only for the same job. It hides what the secret
 * is, and does not say who sealed it. Throws `invalid_spec`; `invalid_config` for a public key that is none.
 */
export async function seal(secret: string, { publicKey, ...owner }: SealOptions): Promise<string> {
  const key = readPublicKey(publicKey);
  if (key === null) throw invalid('invalid_config', 'publicKey', 'must be a public sealing key: valetkey sealing-key');
  if (owner.tenant !== undefined) {
    const tenant = jobSpecSchema.shape.tenant.safeParse(owner.tenant);
    if (!tenant.success) throw invalid('invalid_spec', 'tenant', tenant.error.issues[0]?.message ?? 'is no tenant');
  }
  const content = new TextEncoder().encode(secret);
  if (content.length === 0 || content.length > MAX_SECRET_BYTES)
    throw invalid('invalid_spec', 'secret', `must be 1 to ${MAX_SECRET_BYTES} bytes of UTF-8`);
  if (owner.purpose === 'tool' && secret.length < MIN_TOOL_SECRET_CHARS)
    throw invalid('invalid_spec', 'secret', `must be at least ${MIN_TOOL_SECRET_CHARS} characters`);
  return new CompactEncrypt(content).setProtectedHeader({ ...owner, ...SEAL, kid: key.kid }).encrypt(key);
}

/** The `kid` of the key that opens a sealed secret; null for a text that is none. */
export function sealedWith(sealed: string): string | null {
  try {
    const { kid } = decodeProtectedHeader(sealed);
    return typeof kid === 'string' ? kid : null;
  } catch {
    return null;
  }
}

function invalid(code: 'invalid_spec' | 'invalid_config', path: string, message: string): ValetkeyError {
  return new ValetkeyError(code, `${path}: ${message}`, [{ path, message }]);
}
