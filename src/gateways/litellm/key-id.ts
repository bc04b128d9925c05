import { hashSecret, type Secret } from '../../secrets/secret.ts';

/** Returns LiteLLM's id of a key: the SHA-256 of its secret, hex. */
export function keyIdOf(secret: Secret): string {
  return hashSecret(secret).toString('hex');
}
