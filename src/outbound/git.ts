import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { trustedCertificates } from './certificates.ts';
import { processProxies, proxyEnvironment } from './proxies.ts';

/**
 * Returns the environment in which git reaches servers as this process does: by its proxies, and with the certificates that it
 * trusts, which are written to `folder`. Throws `invalid_config`.
 */
export async function gitNetworkEnvironment(folder: string): Promise<Record<string, string>> {
  const proxies = proxyEnvironment(processProxies());
  const certificates = trustedCertificates();
  if (certificates === null) return proxies;
  const file = join(folder, 'trusted.pem');
  await writeFile(file, certificates);
  return { ...proxies, GIT_SSL_CAINFO: file };
}
