import { CompactEncrypt, decodeProtectedHeader } from 'jose';

import type { Dialect } from '../contract/dialect.ts';
import { ValetkeyError } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import { jobSpecSchema } from '../contract/spec.ts';
import { readPublicKey, type PublicSealingKey } from './sealing-key.ts';
import type { Secret } from './secret.ts';

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
/** The owner of a key that a gateway minted for one job: the proxies send it in place of the job's key. */
export interface UpstreamKeyOwner {
  purpose: 'upstream-key';
  ref: KeyRef;
}

/** What a sealed secret is for. */
export type SealPurpose = SealOwner['purpose'];

/** The header fields that hold the owner. */
export const OWNER_HEADERS = ['tenant', 'purpose', 'provider', 'ref'] as const;

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
  const key = readRecipient(publicKey);
  if (owner.tenant !== undefined) {
    const tenant = jobSpecSchema.shape.tenant.safeParse(owner.tenant);
    if (!tenant.success) throw invalid('invalid_spec', 'tenant', tenant.error.issues[0]?.message ?? 'must be a tenant id');
  }
  const bytes = Buffer.byteLength(secret);
  if (bytes === 0 || bytes > MAX_SECRET_BYTES) throw invalid('invalid_spec', 'secret', `must be 1 to ${MAX_SECRET_BYTES} bytes of UTF-8`);
  if (owner.purpose === 'tool' && secret.length < MIN_TOOL_SECRET_CHARS)
    throw invalid('invalid_spec', 'secret', `must be at least ${MIN_TOOL_SECRET_CHARS} characters`);
  return encrypt(secret, owner, key);
}

/** Seals a key that a gateway minted, for the proxies to open. Throws `invalid_config` for an invalid public key. */
export async function sealUpstreamKey(secret: Secret, { publicKey, ref }: { publicKey: string; ref: KeyRef }): Promise<string> {
  return encrypt(secret.reveal(), { purpose: 'upstream-key', ref }, readRecipient(publicKey));
}

/** Seals a text with a header of its own. Throws `invalid_config` for an invalid public key. */
export async function sealWithHeader(text: string, header: SealOwner & Record<string, unknown>, publicKey: string): Promise<string> {
  return encrypt(text, header, readRecipient(publicKey));
}

function readRecipient(publicKey: string): PublicSealingKey {
  const key = readPublicKey(publicKey);
  if (key !== null) return key;
  throw invalid('invalid_config', 'publicKey', 'must be a public sealing key; valetkey sealing-key generates a pair');
}

async function encrypt(secret: string, owner: SealOwner | UpstreamKeyOwner, key: PublicSealingKey): Promise<string> {
  const header = { ...owner, ...SEAL_ALGORITHMS, kid: key.kid };
  return new CompactEncrypt(new TextEncoder().encode(secret)).setProtectedHeader(header).encrypt(key);
}

/** Reads for whom and what a secret was sealed; null for any other text. The header is readable and not authenticated yet. */
export function readSealOwner(sealed: string): Partial<Record<(typeof OWNER_HEADERS)[number], unknown>> | null {
  try {
    const header: Record<string, unknown> = decodeProtectedHeader(sealed);
    const { tenant, purpose, provider, ref } = header;
    return { tenant, purpose, provider, ref };
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
