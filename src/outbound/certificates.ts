import { getCACertificates } from 'node:tls';

/**
 * Returns the certificates that this process trusts, including those of NODE_EXTRA_CA_CERTS, as one PEM; null where that variable
 * adds none. It is for programs that do not use Node’s TLS: git, and the native part of Temporal’s SDK.
 */
export function trustedCertificates(): string | null {
  if (getCACertificates('extra').length === 0) return null;
  return `${getCACertificates('default').join('\n')}\n`;
}
