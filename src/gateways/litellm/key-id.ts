import { hashSecret, Secret } from '../../secrets/secret.ts';
import { bearer } from '../admin-http.ts';

/** Returns LiteLLM's id of a key: the SHA-256 of its secret, hex. */
export function keyIdOf(secret: Secret): string {
  return hashSecret(secret).toString('hex');
}

/** The headers of a request with a key on a connection of its own, which may reach another process of LiteLLM than the last one. */
export function onOwnConnection(key: Secret): Record<string, Secret> {
  return { ...bearer(key), connection: new Secret('close') };
}
