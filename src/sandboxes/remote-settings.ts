import { z } from 'zod';

import { durationSchema } from '../contract/duration-schema.ts';
import { durationMs } from '../contract/duration.ts';
import { Secret } from '../secrets/secret.ts';

const keySchema = z
  .string()
  .min(1)
  .transform((text) => new Secret(text));

const withoutSlash = (url: string): string => url.replace(/\/+$/, '');
const urlSchema = z.url({ protocol: /^https?$/ }).transform(withoutSlash);

/** Loopback alone is reached without TLS: the tests' vendors listen there. */
const publicUrlSchema = urlSchema.refine((url) => /^https:|^http:\/\/(127\.|localhost\b|\[::1\])/.test(url), 'must be an https URL');

/** The environment variables of the remote sandbox providers, for the schema of the environment. */
export const remoteVariables = {
  VALETKEY_GATEWAY_PUBLIC_URL: publicUrlSchema
    .optional()
    .describe('URL at which remote sandboxes reach the gateway, without /v1; required with E2B_API_KEY and DAYTONA_API_KEY. Workers only.'),
  E2B_API_KEY: keySchema
    .optional()
    .describe('API key of E2B; jobs can name the sandbox provider `e2b` where workers have it. Workers only.'),
  VALETKEY_E2B_TEMPLATE: z
    .string()
    .min(1)
    .optional()
    .describe('Name or id of the E2B template of sandboxes (docs/sandboxes.md); required with E2B_API_KEY. Workers only.'),
  VALETKEY_E2B_DOMAIN: z
    .string()
    .regex(/^[a-z0-9.-]+$/, 'must be a domain')
    .default('e2b.app')
    .describe('Domain of E2B, or of a service that speaks its API. Workers only.'),
  VALETKEY_E2B_API_URL: urlSchema.optional().describe('URL of E2B’s API; `https://api.` and VALETKEY_E2B_DOMAIN unless set. Workers only.'),
  VALETKEY_E2B_SANDBOX_URL: urlSchema
    .optional()
    .describe(
      'URL that routes to every sandbox by the headers E2b-Sandbox-Id and E2b-Sandbox-Port; a host name for each sandbox unless set. Workers only.',
    ),
  DAYTONA_API_KEY: keySchema
    .optional()
    .describe('API key of Daytona; jobs can name the sandbox provider `daytona` where workers have it. Workers only.'),
  VALETKEY_DAYTONA_SNAPSHOT: z
    .string()
    .min(1)
    .optional()
    .describe('Name or id of the Daytona snapshot of sandboxes (docs/sandboxes.md); required with DAYTONA_API_KEY. Workers only.'),
  VALETKEY_DAYTONA_API_URL: urlSchema.prefault('https://app.daytona.io/api').describe('URL of Daytona’s API. Workers only.'),
  VALETKEY_REMOTE_SANDBOX_LIFETIME: durationSchema('24h')
    .transform(durationMs)
    .refine((ms) => ms >= 60_000, 'must be at least 1m')
    .prefault('30m')
    .describe(
      'How long a sandbox at E2B or Daytona goes on when no worker runs any more that extends it; E2B’s free plan has at most 1h. Workers only.',
    ),
  VALETKEY_REMOTE_SANDBOX_STARTS: z.coerce
    .number()
    .positive()
    .max(100)
    .default(1)
    .describe(
      'Sandboxes that one worker starts per second at E2B or Daytona: E2B allows 1 on its free plan and 5 on others. Workers only.',
    ),
};

type RemoteVariables = z.output<z.ZodObject<typeof remoteVariables>>;

/** The remote sandbox providers that are configured. */
export interface RemoteSettings {
  e2b?: { apiKey: Secret; template: string; domain: string; apiUrl: string | undefined; sandboxUrl: string | undefined };
  daytona?: { apiKey: Secret; snapshot: string; apiUrl: string };
  gatewayUrl: string;
  lifetimeMs: number;
  startsPerSecond: number;
}

/** Returns the settings that the variables make together. What `checkRemoteVariables` reports is left out. */
export function remoteSettings(env: RemoteVariables): RemoteSettings {
  const { E2B_API_KEY, VALETKEY_E2B_TEMPLATE, DAYTONA_API_KEY, VALETKEY_DAYTONA_SNAPSHOT } = env;
  return {
    ...(E2B_API_KEY !== undefined &&
      VALETKEY_E2B_TEMPLATE !== undefined && {
        e2b: {
          apiKey: E2B_API_KEY,
          template: VALETKEY_E2B_TEMPLATE,
          domain: env.VALETKEY_E2B_DOMAIN,
          apiUrl: env.VALETKEY_E2B_API_URL,
          sandboxUrl: env.VALETKEY_E2B_SANDBOX_URL,
        },
      }),
    ...(DAYTONA_API_KEY !== undefined &&
      VALETKEY_DAYTONA_SNAPSHOT !== undefined && {
        daytona: { apiKey: DAYTONA_API_KEY, snapshot: VALETKEY_DAYTONA_SNAPSHOT, apiUrl: env.VALETKEY_DAYTONA_API_URL },
      }),
    gatewayUrl: env.VALETKEY_GATEWAY_PUBLIC_URL ?? '',
    lifetimeMs: env.VALETKEY_REMOTE_SANDBOX_LIFETIME,
    startsPerSecond: env.VALETKEY_REMOTE_SANDBOX_STARTS,
  };
}

/** Returns the variables that are missing beside those that are set, each with the one that requires it. */
export function missingRemoteVariables(env: RemoteVariables): { missing: keyof RemoteVariables; requiredBy: keyof RemoteVariables }[] {
  const needs = [
    ['E2B_API_KEY', 'VALETKEY_E2B_TEMPLATE'],
    ['E2B_API_KEY', 'VALETKEY_GATEWAY_PUBLIC_URL'],
    ['DAYTONA_API_KEY', 'VALETKEY_DAYTONA_SNAPSHOT'],
    ['DAYTONA_API_KEY', 'VALETKEY_GATEWAY_PUBLIC_URL'],
  ] as const;
  return needs.flatMap(([requiredBy, missing]) =>
    env[requiredBy] !== undefined && env[missing] === undefined ? [{ missing, requiredBy }] : [],
  );
}
