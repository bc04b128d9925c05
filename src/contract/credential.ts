import type { z } from 'zod';

import type { jobCredentialSchema } from './credential-spec.ts';
import { GATEWAY_TITLES, type GatewayName } from './gateway-name.ts';

/** Matches a credential that a header can hold: one word of printable ASCII. */
export const CREDENTIAL_PATTERN = /^[\x21-\x7e]+$/;

/** The name of the stored credential that the strategy `gateway` uses. */
export const DEFAULT_CREDENTIAL = 'default';

/** The name of the stored login that the strategy `subscription` uses unless the job names another. */
export const DEFAULT_LOGIN = 'subscription';

/**
 * The strategy of a job, and with it the upstream credential that the proxy sends in place of the job's key. `gateway`: with the gateway
 * `builtin` the tenant's or the organization's default credential, else a key that the gateway mints for the job. `shared`: a named
 * credential of the organization. `byok`: a credential of the tenant, stored or sealed in the job.
 * `subscription`: a stored login of the tenant to a Claude or ChatGPT plan.
 */
export type JobCredential = z.output<typeof jobCredentialSchema>;
export type Strategy = JobCredential['strategy'];

/** Returns the gateway that mints the job's keys. */
export function gatewayOf(credential: JobCredential): GatewayName {
  return credential.strategy === 'gateway' ? credential.gateway : 'builtin';
}

/** Whether the sandbox holds the upstream credential itself, which the proxy then relays, in place of a key that the proxy alone accepts. */
export function isDirect(credential: JobCredential): boolean {
  return credential.strategy === 'gateway' && credential.delivery === 'direct';
}

/** Names a job's credential in a message, as "the organization’s credential acme-eu". */
export function describeCredential(credential: JobCredential, tenant: string): string {
  switch (credential.strategy) {
    case 'gateway':
      return credential.gateway === 'builtin'
        ? `the gateway’s credential for the tenant ${tenant}`
        : `the key that ${GATEWAY_TITLES[credential.gateway]} minted for the job`;
    case 'shared':
      return `the organization’s credential ${credential.name}`;
    case 'byok':
      return credential.sealed === undefined
        ? `the credential ${credential.name ?? DEFAULT_CREDENTIAL} of the tenant ${tenant}`
        : 'the credential that is sealed in the job';
    case 'subscription':
      return `the login ${credential.name ?? DEFAULT_LOGIN} of the tenant ${tenant}`;
  }
}
