import { z } from 'zod';

import { sealedSchema } from './sandbox-spec.ts';

/** The name of the stored credential that the strategy `gateway` uses. */
export const DEFAULT_CREDENTIAL = 'default';

export const credentialNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be 1 to 64 of a-z 0-9 . _ -, the first a letter or digit');

const byokSchema = z
  .strictObject({
    strategy: z.literal('byok'),
    name: credentialNameSchema.optional().describe('A stored credential of the tenant; "default" when left out.'),
    sealed: sealedSchema.optional().describe('The credential itself, sealed: `valetkey seal --for byok`.'),
  })
  .refine(({ name, sealed }) => name === undefined || sealed === undefined, 'must not have both a name and a sealed credential');

export const jobCredentialSchema = z.discriminatedUnion('strategy', [
  z.strictObject({ strategy: z.literal('gateway'), gateway: z.literal('builtin') }),
  z.strictObject({ strategy: z.literal('shared'), name: credentialNameSchema.describe('A stored credential of the organization.') }),
  byokSchema,
]);

/**
 * The strategy of a job, and with it the upstream credential that the gateway sends in place of the job's key. `gateway`: the tenant's or
 * the organization's default credential. `shared`: a named credential of the organization. `byok`: a credential of the tenant, stored or
 * sealed in the job.
 */
export type JobCredential = z.output<typeof jobCredentialSchema>;
export type Strategy = JobCredential['strategy'];
export type GatewayName = Extract<JobCredential, { strategy: 'gateway' }>['gateway'];

/** Returns the gateway that mints the job's keys. */
export function gatewayOf(credential: JobCredential): GatewayName {
  return credential.strategy === 'gateway' ? credential.gateway : 'builtin';
}

/** Names a job's credential in a message, as "the organization’s credential acme-eu". */
export function describeCredential(credential: JobCredential, tenant: string): string {
  switch (credential.strategy) {
    case 'gateway':
      return `the gateway’s credential for the tenant ${tenant}`;
    case 'shared':
      return `the organization’s credential ${credential.name}`;
    case 'byok':
      return credential.sealed === undefined
        ? `the credential ${credential.name ?? DEFAULT_CREDENTIAL} of the tenant ${tenant}`
        : 'the credential that is sealed in the job';
  }
}
