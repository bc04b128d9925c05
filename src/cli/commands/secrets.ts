import type { Config } from '../../config/config.ts';
import { Secret } from '../../secrets/secret.ts';

/** What of the configuration must never be printed or logged. */
export function secretsOf({ databaseUrl, rootKey, sealingKey, gateway }: Config): Secret[] {
  const password = databaseUrl === undefined ? '' : (URL.parse(databaseUrl)?.password ?? '');
  return [
    rootKey,
    sealingKey,
    gateway.anthropic.credential,
    gateway.openai.credential,
    password === '' ? undefined : new Secret(password),
  ].filter((secret) => secret !== undefined);
}
