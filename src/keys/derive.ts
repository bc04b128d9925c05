import { createHmac } from 'node:crypto';

import type { KeyRef } from '../job/ref.ts';
import { Secret } from '../secrets/secret.ts';

/** What every key of a job begins with, so that a scanner of leaked secrets can know it. */
const PREFIX = 'sk-vk-';

/**
 * The secret of a ref: HMAC-SHA256 of it under the root key. A retried mint computes it again, so nobody has to carry it
 * and no history ever holds it.
 */
export function deriveSecret(rootKey: Secret, ref: KeyRef): Secret {
  const digest = createHmac('sha256', Buffer.from(rootKey.reveal(), 'base64')).update(`valetkey key ${ref}`).digest('base64url');
  return new Secret(PREFIX + digest);
}
