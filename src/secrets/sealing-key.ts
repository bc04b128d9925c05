import { generateKeyPairSync, type KeyObject } from 'node:crypto';

import { calculateJwkThumbprint } from 'jose';
import { z } from 'zod';

/** 32 bytes in base64url. */
const partSchema = z.string().regex(/^[\w-]{43}$/);
const shape = { kty: z.literal('OKP'), crv: z.literal('X25519'), kid: z.string().regex(/^[\w.-]{1,64}$/), x: partSchema };
/** A private key is refused: whoever seals must not have one. */
const publicKeySchema = z
  .looseObject(shape)
  .refine((key) => !('d' in key))
  .transform(({ kty, crv, kid, x }) => ({ kty, crv, kid, x }));
/** X25519, as JWK: what opens secrets. */
export const privateKeySchema = z.object({ ...shape, d: partSchema });
const privateKeysSchema = z.union([
  z.object({ keys: z.array(privateKeySchema).min(1) }).transform(({ keys }) => keys),
  privateKeySchema.transform((key) => [key]),
]);

/** X25519, as JWK: what secrets are sealed for. */
export type PublicSealingKey = z.output<typeof publicKeySchema>;
export type PrivateSealingKey = z.output<typeof privateKeySchema>;

/** A public key as a variable holds it: a JWK, or that in base64. Null for anything else. */
export function readPublicKey(text: string): PublicSealingKey | null {
  return publicKeySchema.safeParse(parse(text)).data ?? null;
}

/**
 * The private keys of a variable: a JWK, a JWK set, or any number of JWKs in base64 with commas or spaces between them.
 * Null where one of them is none.
 */
export function readPrivateKeys(text: string): PrivateSealingKey[] | null {
  const words = isJson(text) ? [text] : text.split(/[\s,]+/).filter((word) => word !== '');
  const keys = words.map((word) => privateKeysSchema.safeParse(parse(word)).data);
  return keys.length > 0 && keys.every((key) => key !== undefined) ? keys.flat() : null;
}

/** A new pair, each as one word for a variable; its `kid` is its thumbprint (RFC 7638). */
export async function newSealingKey(): Promise<{ kid: string; publicKey: string; privateKey: string }> {
  const pair = generateKeyPairSync('x25519');
  const kid = await calculateJwkThumbprint(pair.publicKey);
  const word = (key: KeyObject): string => Buffer.from(JSON.stringify({ ...key.export({ format: 'jwk' }), kid })).toString('base64url');
  return { kid, publicKey: word(pair.publicKey), privateKey: word(pair.privateKey) };
}

/** The public part of a key as one word for a variable. */
export function publicKeyWord({ kty, crv, kid, x }: PublicSealingKey): string {
  return Buffer.from(JSON.stringify({ kty, crv, kid, x })).toString('base64url');
}

function isJson(text: string): boolean {
  return text.trimStart().startsWith('{');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(isJson(text) ? text : Buffer.from(text, 'base64').toString());
  } catch {
    return undefined;
  }
}
