import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

export interface Certificate {
  key: string;
  cert: string;
}

/** A certificate for names, signed by itself: it is its own authority. */
export async function certificateFor(...names: string[]): Promise<Certificate> {
  const folder = await mkdtemp(join(tmpdir(), 'vk-certificate-'));
  const subject = ['-subj', '/CN=tests', '-addext', `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`];
  const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  await execa('openssl', [...kind, '-keyout', 'key.pem', '-out', 'cert.pem', ...subject], { cwd: folder });
  const [key, cert] = await Promise.all(['key.pem', 'cert.pem'].map(async (name) => readFile(join(folder, name), 'utf8')));
  await rm(folder, { recursive: true });
  return { key: key ?? '', cert: cert ?? '' };
}
