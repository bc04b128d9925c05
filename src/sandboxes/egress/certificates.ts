import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { ValetkeyError } from '../../contract/errors.ts';
import type { Certificates } from './tool-environment.ts';

/** The files in which distributions keep the trusted certificates, as one PEM. */
const SYSTEM_BUNDLES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

/**
 * Writes two files into `folder`, which the sandbox sees at `seenAs`: the operator’s certificates, and these together with the
 * system’s. Throws `sandbox_start_failed` where `caFile` cannot be read.
 */
export async function writeCertificates(caFile: string, folder: string, seenAs: string): Promise<Certificates> {
  const own = await readFile(caFile, 'utf8').catch(() => {
    throw new ValetkeyError('sandbox_start_failed', `The file ${caFile} of VALETKEY_EGRESS_CA cannot be read.`);
  });
  const bundles = await Promise.all(SYSTEM_BUNDLES.map(async (path) => readFile(path, 'utf8').catch(() => '')));
  await mkdir(join(folder, 'certificates'));
  await writeFile(join(folder, 'certificates/own.pem'), own);
  await writeFile(join(folder, 'certificates/bundle.pem'), `${bundles.find((text) => text !== '') ?? ''}\n${own}`);
  return { own: join(seenAs, 'certificates/own.pem'), bundle: join(seenAs, 'certificates/bundle.pem') };
}
