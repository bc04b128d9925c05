import { CompactEncrypt } from 'jose';

import { ValetkeyError } from '../job/errors.ts';
import { jobSpecSchema } from '../job/spec.ts';
import { readPublicKey } from './sealing-key.ts';

/** Bytes of UTF-8: sealed it fits where a job holds it. */
const MAX_SECRET_BYTES = 4096;

export const SEAL = { alg: 'ECDH-ES', enc: 'A256GCM' } as const;

/** What a sealed secret is for; it opens for nothing else. */
export type SealPurpose = 'git-token';

/** Whose a sealed secret is and what for: readable in its header, and bound to it. */
export interface SealedFor {
  tenant: string;
  purpose: SealPurpose;
}

export interface SealOptions extends SealedFor {
  /** What `valetkey sealing-key` printed as the public key: a JWK, or that in base64. */
  publicKey: string;
}

/**
 * Seals a secret so that it can stand in a job: only workers open it, for jobs of this tenant and this purpose. A compact
 * JWE (RFC 7516), another one each time: `submit` takes jobs that differ in that only for the same job. It hides what the secret
 * is, and does not say who sealed it. Throws `invalid_spec`; `invalid_config` for a public key that is none.
 */
export async function seal(secret: string, { tenant, purpose, publicKey }: SealOptions): Promise<string> {
  const key = readPublicKey(publicKey);
  if (key === null) throw invalid('invalid_config', 'publicKey', 'must be a public sealing key: valetkey sealing-key');
  const owner = jobSpecSchema.shape.tenant.safeParse(tenant);
  if (!owner.success) throw invalid('invalid_spec', 'tenant', owner.error.issues[0]?.message ?? 'is no tenant');
  const content = new TextEncoder().encode(secret);
  if (content.length === 0 || content.length > MAX_SECRET_BYTES)
    throw invalid('invalid_spec', 'secret', `must be 1 to ${MAX_SECRET_BYTES} bytes of UTF-8`);
  return new CompactEncrypt(content).setProtectedHeader({ ...SEAL, kid: key.kid, tenant, purpose }).encrypt(key);
}

function invalid(code: 'invalid_spec' | 'invalid_config', path: string, message: string): ValetkeyError {
  return new ValetkeyError(code, `${path}: ${message}`, [{ path, message }]);
}
