import { generateKeyPairSync, type KeyObject } from 'node:crypto';

import { calculateJwkThumbprint } from 'jose';
import { z } from 'zod';

import { parseJson } from '../contract/json.ts';

/** 32 bytes in base64url. */
const partSchema = z.string().regex(/^[\w-]{43}$/);
const shape = { kty: z.literal('OKP'), crv: z.literal('X25519'), kid: z.string().regex(/^[\w.-]{1,64}$/), x: partSchema };
/** A private key is refused: a backend that seals secrets must not hold one. */
const publicKeySchema = z
  .looseObject(shape)
  .refine((key) => !('d' in key))
  .transform(({ kty, crv, kid, x }) => ({ kty, crv, kid, x }));
/** An X25519 private key as JWK: it opens secrets. */
export const privateKeySchema = z.object({ ...shape, d: partSchema });
const privateKeysSchema = z.union([
  z.object({ keys: z.array(privateKeySchema).min(1) }).transform(({ keys }) => keys),
  privateKeySchema.transform((key) => [key]),
]);

/** An X25519 public key as JWK: secrets are sealed for it. */
export type PublicSealingKey = z.output<typeof publicKeySchema>;
export type PrivateSealingKey = z.output<typeof privateKeySchema>;

/** Reads a public key from an environment variable: a JWK, or one in base64. Null for anything else. */
export function readPublicKey(text: string): PublicSealingKey | null {
  return publicKeySchema.safeParse(decode(text)).data ?? null;
}

/**
 * Reads the private keys of an environment variable: a JWK, a JWK set, or JWKs in base64, separated by commas or spaces.
 * Null when one of them is invalid.
 */
export function readPrivateKeys(text: string): PrivateSealingKey[] | null {
  const words = isJson(text) ? [text] : text.split(/[\s,]+/).filter((word) => word !== '');
  const keys = words.map((word) => privateKeysSchema.safeParse(decode(word)).data);
  return keys.length > 0 && keys.every((key) => key !== undefined) ? keys.flat() : null;
}

/** Generates a key pair, each key as one word for an environment variable; `kid` is the thumbprint of the key (RFC 7638). */
export async function generateSealingKey(): Promise<{ kid: string; publicKey: string; privateKey: string }> {
  const pair = generateKeyPairSync('x25519');
  const kid = await calculateJwkThumbprint(pair.publicKey);
  const word = (key: KeyObject): string => Buffer.from(JSON.stringify({ ...key.export({ format: 'jwk' }), kid })).toString('base64url');
  return { kid, publicKey: word(pair.publicKey), privateKey: word(pair.privateKey) };
}

/** Encodes the public part of a key as one word for an environment variable. */
export function encodePublicKey({ kty, crv, kid, x }: PublicSealingKey): string {
  return Buffer.from(JSON.stringify({ kty, crv, kid, x })).toString('base64url');
}

function isJson(text: string): boolean {
  return text.trimStart().startsWith('{');
}

function decode(text: string): unknown {
  return parseJson(isJson(text) ? text : Buffer.from(text, 'base64').toString());
}
