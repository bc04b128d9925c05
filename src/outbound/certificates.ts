import { getCACertificates } from 'node:tls';

/**
 * The certificates that this process trusts, with those that NODE_EXTRA_CA_CERTS adds, as one PEM; null where that adds none. For what does not
 * use Node's TLS: git, and the part of Temporal's SDK that is not JavaScript.
 */
export function trustedCertificates(): string | null {
  if (getCACertificates('extra').length === 0) return null;
  return `${getCACertificates('default').join('\n')}\n`;
}
