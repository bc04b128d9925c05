import { randomBytes } from 'node:crypto';

import { ValetkeyError } from '../../contract/errors.ts';
import { Secret } from '../../secrets/secret.ts';
import type { AdminHttp } from '../admin-http.ts';
import { keyIdOf, onOwnConnection } from './key-id.ts';
import { readinessSchema } from './schemas.ts';

/** Larger differences make leases of two minutes unsafe. */
const MAX_SKEW_MS = 30_000;
/** Each on a connection of its own, so that all processes of LiteLLM see the key. */
const REQUESTS = 16;
const CHECK_KEY_LIFE = '60s';

/**
 * Checks LiteLLM's address, database, our credential and its clock, and whether a blocked key is refused by all of its processes at once:
 * several of them without a shared cache accept it for up to a minute, and let a budget be spent once each. Costs nothing.
 */
export async function checkLiteLlm(api: AdminHttp): Promise<string[]> {
  try {
    const readiness = await api.exchange('GET', '/health/readiness', undefined, {});
    const { db } = readinessSchema.safeParse(readiness.body).data ?? {};
    if (db !== 'connected')
      return ['LiteLLM has no database, and without one it has no keys: set its DATABASE_URL, and check VALETKEY_LITELLM_BASE_URL.'];
    const admin = await api.exchange('GET', '/key/list?size=1');
    if (admin.status === 401 || admin.status === 403)
      return ['LiteLLM refuses LITELLM_MASTER_KEY: set its master key, or one of a proxy admin.'];
    return [...skewOf(readiness.date), ...(await checkProcesses(api))];
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    return [`${error.message} Check VALETKEY_LITELLM_BASE_URL, and that LiteLLM runs.`];
  }
}

function skewOf(date: Date): string[] {
  const skewMs = Math.abs(date.getTime() - Date.now());
  return skewMs <= MAX_SKEW_MS ? [] : [`LiteLLM’s clock differs from this host’s by ${Math.round(skewMs / 1000)} s: synchronize both.`];
}

async function checkProcesses(api: AdminHttp): Promise<string[]> {
  const secret = new Secret(`sk-vk-check-${randomBytes(24).toString('base64url')}`);
  const id = keyIdOf(secret);
  const accepts = async (): Promise<boolean> => {
    const answers = await Promise.all(
      Array.from({ length: REQUESTS }, () => api.exchange('GET', '/v1/models', undefined, onOwnConnection(secret))),
    );
    return answers.some(({ status }) => status === 200);
  };
  const alias = `valetkey-check-${randomBytes(8).toString('hex')}`;
  const key = { key: secret.reveal(), key_alias: alias, duration: CHECK_KEY_LIFE, max_budget: 0.01, allowed_routes: ['/v1/models'] };
  const minted = await api.exchange('POST', '/key/generate', key);
  if (minted.status === 403)
    return ['LiteLLM does not let us choose the secret of a key: turn off disable_custom_api_keys in its settings.'];
  if (minted.status !== 200) return [`LiteLLM does not make a key for a check (status ${minted.status}): look into its log.`];
  try {
    if (!(await accepts())) return ['LiteLLM does not accept a key that it has just made: look into its log.'];
    await api.exchange('POST', '/key/block', { key: id });
    if (!(await accepts())) return [];
    return [
      'LiteLLM runs several processes without a shared cache, so each lets the whole budget be spent, and accepts a revoked key for up to a minute: give it Redis, with the settings in docs/gateways.md.',
    ];
  } finally {
    await api.exchange('POST', '/key/delete', { keys: [id] }).catch(() => {});
  }
}
