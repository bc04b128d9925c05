import { hashSecret, Secret } from '../../secrets/secret.ts';

/** Returns LiteLLM's id of a key: the SHA-256 of its secret, hex. */
export function keyIdOf(secret: Secret): string {
  return hashSecret(secret).toString('hex');
}

/** The headers of a request with a key. A connection of its own: each may reach another process of LiteLLM. */
export function bearer(key: Secret): Record<string, Secret> {
  return { authorization: new Secret(`Bearer ${key.reveal()}`), connection: new Secret('close') };
}
