import { z } from 'zod';

import { GATEWAYS } from './gateway-name.ts';
import { sealedSchema } from './sandbox-spec.ts';

export const credentialNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be 1 to 64 of a-z 0-9 . _ -, the first a letter or digit');

/** `brokered`: the sandbox holds a key that only our proxy accepts. `direct`: it holds the upstream credential itself. */
const deliverySchema = z.enum(['brokered', 'direct']);

const byokSchema = z
  .strictObject({
    strategy: z.literal('byok'),
    name: credentialNameSchema.optional().describe('A stored credential of the tenant; "default" when left out.'),
    sealed: sealedSchema.optional().describe('The credential itself, sealed: `valetkey seal --for byok`.'),
  })
  .refine(({ name, sealed }) => name === undefined || sealed === undefined, 'must not have both a name and a sealed credential');

const gatewaySchema = z
  .strictObject({
    strategy: z.literal('gateway'),
    gateway: z.enum(GATEWAYS),
    delivery: deliverySchema.optional().describe('What the sandbox holds: the job’s own key, or the key that the gateway minted.'),
  })
  .refine(
    ({ gateway, delivery }) => gateway !== 'builtin' || delivery !== 'direct',
    'must not be delivered directly: the built-in gateway has no key of its own, only credentials of whole accounts',
  );

export const jobCredentialSchema = z.discriminatedUnion('strategy', [
  gatewaySchema,
  z.strictObject({ strategy: z.literal('shared'), name: credentialNameSchema.describe('A stored credential of the organization.') }),
  byokSchema,
  z.strictObject({
    strategy: z.literal('subscription'),
    name: credentialNameSchema.optional().describe('A stored login of the tenant; "subscription" when left out.'),
  }),
]);

/** Every strategy that a job can name. */
export const STRATEGIES = jobCredentialSchema.options.map(({ shape }) => shape.strategy.value);
