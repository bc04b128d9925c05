import type { VendorHttp } from '../remote/vendor-http.ts';

const NAME = 'valetkey-placeholder';
const CONFLICT = 409;

/**
 * The secret with which every sandbox is created, by the variable that holds its reference. It opens nothing and may be sent
 * nowhere; but a sandbox that was created without any secret cannot be given one while it runs.
 */
export const PLACEHOLDER = { VALETKEY_PLACEHOLDER: NAME };

/** Creates the organization's placeholder secret. Idempotent. Throws as the methods of `Vendor`. */
export async function ensurePlaceholder(http: VendorHttp, apiUrl: string): Promise<void> {
  const json = { name: NAME, value: 'placeholder', hosts: ['placeholder.invalid'] };
  await http.request(`${apiUrl}/secret`, { method: 'POST', json, accept: CONFLICT });
}
