import { Secret } from '../secrets/secret.ts';
import type { Config } from './config.ts';

/** Lists what of the configuration must never be printed or logged. */
export function secretsOf({ databaseUrl, rootKey, sealingKey, gateway, gateways, remoteSandboxes }: Config): Secret[] {
  const password = databaseUrl === undefined ? '' : (URL.parse(databaseUrl)?.password ?? '');
  return [
    rootKey,
    sealingKey,
    gateway.anthropic.credential,
    gateway.openai.credential,
    gateways.litellm?.masterKey,
    gateways.openrouter?.provisioningKey,
    gateways.portkey?.adminKey,
    remoteSandboxes.e2b?.apiKey,
    remoteSandboxes.daytona?.apiKey,
    password === '' ? undefined : new Secret(password),
  ].filter((secret) => secret !== undefined);
}
