import { CompactEncrypt, decodeProtectedHeader } from 'jose';

import type { Dialect } from '../contract/dialect.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { jobSpecSchema } from '../contract/spec.ts';
import { readPublicKey } from './sealing-key.ts';

/** Bytes of UTF-8: once sealed, the secret still fits into the field of a job. */
const MAX_SECRET_BYTES = 4096;
/** A shorter secret would be masked in texts that contain the same characters by chance. */
export const MIN_TOOL_SECRET_CHARS = 8;

export const SEAL_ALGORITHMS = { alg: 'ECDH-ES', enc: 'A256GCM' } as const;

/**
 * The owner and purpose of a sealed secret: a git token, a tool secret or a credential at a provider, which only jobs of the tenant may use;
 * or a stored credential, of one tenant or, without a tenant, of the organization. It is readable in the header and authenticated with the
 * content, so the secret opens for nothing else.
 */
export type SealOwner =
  | {
      /** What the secret is for: a git server, or a tool of the agent. */
      purpose: 'git-token' | 'tool';
      /** The tenant whose jobs alone may use it. */
      tenant: string;
    }
  | {
      /** What the secret is for: the requests of one job to a provider. */
      purpose: 'byok';
      /** The provider. */
      provider: Dialect;
      /** The tenant whose jobs alone may use it. */
      tenant: string;
    }
  | {
      /** What the secret is for: a stored credential. */
      purpose: 'upstream';
      /** The provider. */
      provider: Dialect;
      /** The tenant that owns it; the organization when left out. */
      tenant?: string;
    };
/** What a sealed secret is for. */
export type SealPurpose = SealOwner['purpose'];

/** The header fields that hold the owner. */
export const OWNER_HEADERS = ['tenant', 'purpose', 'provider'] as const;

/** `publicKey`: the public key that `valetkey sealing-key` or `valetkey keyring` printed: a JWK, or one in base64. */
export type SealOptions = SealOwner & {
  /** The public key of the workers and gateways. */
  publicKey: string;
};

/**
 * Seals a secret so that a job, or the store, may hold it: only workers and gateways can open it, and only for its owner and purpose.
 * Returns a compact JWE (RFC 7516), which differs each time: `submit` treats jobs that differ only in it as the same job. It keeps the
 * secret confidential but does not authenticate who sealed it. Throws `invalid_spec`, and `invalid_config` for an invalid public key.
 */
export async function seal(secret: string, { publicKey, ...owner }: SealOptions): Promise<string> {
  const key = readPublicKey(publicKey);
  if (key === null) throw invalid('invalid_config', 'publicKey', 'must be a public sealing key; valetkey sealing-key generates a pair');
  if (owner.tenant !== undefined) {
    const tenant = jobSpecSchema.shape.tenant.safeParse(owner.tenant);
    if (!tenant.success) throw invalid('invalid_spec', 'tenant', tenant.error.issues[0]?.message ?? 'must be a tenant id');
  }
  const content = new TextEncoder().encode(secret);
  if (content.length === 0 || content.length > MAX_SECRET_BYTES)
    throw invalid('invalid_spec', 'secret', `must be 1 to ${MAX_SECRET_BYTES} bytes of UTF-8`);
  if (owner.purpose === 'tool' && secret.length < MIN_TOOL_SECRET_CHARS)
    throw invalid('invalid_spec', 'secret', `must be at least ${MIN_TOOL_SECRET_CHARS} characters`);
  return new CompactEncrypt(content).setProtectedHeader({ ...owner, ...SEAL_ALGORITHMS, kid: key.kid }).encrypt(key);
}

/** Reads for whom and what a secret was sealed; null for any other text. The header is readable and not authenticated yet. */
export function readSealOwner(sealed: string): Partial<Record<(typeof OWNER_HEADERS)[number], unknown>> | null {
  try {
    const header: Record<string, unknown> = decodeProtectedHeader(sealed);
    const { tenant, purpose, provider } = header;
    return { tenant, purpose, provider };
  } catch {
    return null;
  }
}

/** Reads the `kid` of the key that opens a sealed secret; null for any other text. */
export function readSealKeyId(sealed: string): string | null {
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
