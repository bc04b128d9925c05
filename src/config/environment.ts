import { isIP } from 'node:net';
import { homedir, hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

import { z } from 'zod';

import { parseAllowedHost, parsePrivateHost } from '../contract/host-rule.ts';
import { machineVariables } from '../sandboxes/machine-settings.ts';
import { readRootKeys } from '../secrets/root-key.ts';
import { readPrivateKeys, readPublicKey } from '../secrets/sealing-key.ts';
import { Secret } from '../secrets/secret.ts';

const secretSchema = z
  .string()
  .min(1)
  .transform((text) => new Secret(text));
const portSchema = z.coerce.number().int().min(0).max(65535);
const secondsSchema = z.coerce
  .number()
  .positive()
  .transform((seconds) => Math.round(seconds * 1000));
const limitSchema = z.coerce.number().int().positive();
const MIB = 1024 * 1024;
const mebibytesSchema = z.coerce
  .number()
  .positive()
  .transform((mebibytes) => Math.round(mebibytes * MIB));
const addressSchema = z
  .string()
  .regex(/^(\d{1,3}(\.\d{1,3}){3}|\[[\da-f:]+\]):\d{1,5}$/i, 'must be an IP address and a port like 127.0.0.1:9464');
const hostListSchema = z
  .string()
  .transform((text) => text.split(/[\s,]+/).filter((entry) => entry !== ''))
  .refine(
    (entries) => entries.every((entry) => parseAllowedHost(entry) !== null),
    'must be hosts like git.example.com, *.example.com or *, each with :port if need be',
  )
  .transform((entries) => entries.flatMap((entry) => parseAllowedHost(entry) ?? []));
const privateHostsSchema = z
  .string()
  .transform((text) => text.split(/[\s,]+/).filter((entry) => entry !== ''))
  .refine((entries) => entries.every(isPrivateHost), 'must be host:port, or host:port=address, several with commas between them')
  .transform(
    (entries) => new Map(entries.flatMap((entry) => parsePrivateHost(entry) ?? []).map(({ target, address }) => [target, address])),
  );
/** An address that is none would be refused with each connection. */
function isPrivateHost(entry: string): boolean {
  const parsed = parsePrivateHost(entry);
  return parsed !== null && (parsed.address === null || isIP(parsed.address) !== 0);
}

const HOUR_MS = 60 * 60 * 1000;

/** Every variable that Valetkey reads; Temporal's own (TEMPORAL_ADDRESS and others) are read by @temporalio/envconfig. */
export const environmentSchema = z.object({
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgres://')
    // A host may be left out.
    .refine((text) => URL.canParse(text.replace('@/', '@localhost/')), 'is not a URL: encode the special characters of its password')
    .optional()
    .describe(
      'Postgres that holds keys, events and settlements. Reached directly, or by a pooler of sessions: statements are prepared, and some listen.',
    ),
  VALETKEY_ROOT_KEY: z
    .string()
    .refine((text) => readRootKeys(text) !== null, 'must be at least 32 bytes in base64: openssl rand -base64 32')
    .transform((text) => new Secret(text))
    .optional()
    .describe(
      'What the keys of jobs are derived from; workers only. Several with commas between them: the first is for new keys, the others for those that live.',
    ),
  VALETKEY_SEALING_KEY: z
    .string()
    .refine((text) => readPrivateKeys(text) !== null, 'must be private sealing keys: valetkey sealing-key')
    .transform((text) => new Secret(text))
    .optional()
    .describe('Opens the sealed secrets of jobs, several with commas between them; workers, and gateways for their stored credentials.'),
  VALETKEY_SEALING_PUBLIC_KEY: z
    .string()
    .refine((text) => readPublicKey(text) !== null, 'must be a public sealing key: valetkey sealing-key')
    .optional()
    .describe('What `valetkey seal` and `valetkey credentials` seal for: public.'),
  VALETKEY_KEYRING: z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('File of the key ring, in place of VALETKEY_ROOT_KEY and VALETKEY_SEALING_KEY: its keys are rotated without a restart.'),
  VALETKEY_TASK_QUEUE: z.string().min(1).default('valetkey').describe('Task queue of workers and clients.'),
  VALETKEY_DEPLOYMENT: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit')
    .optional()
    .describe(
      'Name of this installation, the task queue’s unless set: what tells its keys, sandboxes and schedules from those of others. It stays.',
    ),
  VALETKEY_HOST: z.string().min(1).default(hostname()).describe('Name of this host; local sandboxes are driven on its own task queue.'),
  VALETKEY_STATE_DIR: z
    .string()
    .startsWith('/')
    .default(process.getuid?.() === 0 ? '/var/lib/valetkey' : join(tmpdir(), `valetkey-${process.getuid?.() ?? 0}`))
    .describe('Folder of the local sandboxes and of the gateway’s socket.'),
  ...machineVariables,
  VALETKEY_AGENTS_DIR: z.string().startsWith('/').optional().describe('Folder whose node_modules holds the ACP adapters.'),
  VALETKEY_GATEWAY_HOST: z.string().min(1).default('127.0.0.1').describe('Address that the gateway listens on.'),
  VALETKEY_GATEWAY_PORT: portSchema.default(8787).describe('Port of the gateway; 0 takes a free one.'),
  VALETKEY_GATEWAY_IDLE_TIMEOUT: secondsSchema
    .default(300_000)
    .describe('Seconds without a byte from the provider until a request is given up (default 300).'),
  VALETKEY_GATEWAY_DRAIN_TIMEOUT: secondsSchema
    .default(20_000)
    .describe(
      'Seconds that an answer is read on, for its usage, when its caller left (default 20; half a second once the key has ended). Then the provider is stopped and the reservation is charged.',
    ),
  VALETKEY_GATEWAY_TRIES: limitSchema
    .max(10)
    .default(5)
    .describe('How often a request is sent to a provider that fails for a moment, the first time included (default 5; 1: never again).'),
  VALETKEY_GATEWAY_REQUEST_TIMEOUT: secondsSchema
    .default(60_000)
    .describe('Seconds that the headers and the body of a request may take (default 60).'),
  VALETKEY_GATEWAY_MAX_CONNECTIONS: limitSchema
    .default(4_000)
    .describe('Connections to the port, and to the socket; fewer where the process may not open so many files. The idlest is closed.'),
  VALETKEY_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS: limitSchema.default(1_000).describe('Connections to the port from one address.'),
  VALETKEY_GATEWAY_CONCURRENT_REQUESTS: limitSchema.default(2_000).describe('Requests in flight, per replica.'),
  VALETKEY_GATEWAY_BODY_MEMORY: mebibytesSchema
    .default(256 * MIB)
    .describe('MiB that the bodies of requests in flight may hold, per replica (default 256).'),
  VALETKEY_KEY_BODY_MEMORY: mebibytesSchema.default(64 * MIB).describe('MiB of these that one key may hold (default 64).'),
  VALETKEY_KEY_REQUESTS_PER_MINUTE: limitSchema.default(1_200).describe('Requests per minute of one key, per replica.'),
  VALETKEY_KEY_CONCURRENT_REQUESTS: limitSchema.default(100).describe('Requests in flight of one key, per replica.'),
  VALETKEY_TENANT_REQUESTS_PER_MINUTE: limitSchema
    .default(3_000)
    .describe('Requests per minute of one tenant at one provider, over all replicas.'),
  VALETKEY_UPSTREAM_REQUESTS_PER_MINUTE: limitSchema
    .default(10_000)
    .describe('Requests per minute of all tenants at one provider, over all replicas.'),
  VALETKEY_TENANT_TOKENS_PER_MINUTE: limitSchema
    .optional()
    .describe('Tokens per minute of one tenant at one provider, over all replicas; no limit unless set.'),
  VALETKEY_UPSTREAM_TOKENS_PER_MINUTE: limitSchema
    .optional()
    .describe('Tokens per minute of all tenants at one provider, over all replicas; no limit unless set.'),
  VALETKEY_GATEWAY_ADMIN_ADDRESS: addressSchema
    .optional()
    .describe('Where a gateway answers `/healthz`, `/readyz` and `/metrics`; nowhere unless set.'),
  VALETKEY_ANTHROPIC_BASE_URL: z.url().default('https://api.anthropic.com').describe('Where Anthropic Messages go, without /v1.'),
  VALETKEY_OPENAI_BASE_URL: z
    .url()
    .default('https://api.openai.com')
    .describe('Where OpenAI Responses and Chat Completions go, without /v1.'),
  ANTHROPIC_API_KEY: secretSchema.optional().describe('Credential for Anthropic where none is stored; gateway only.'),
  OPENAI_API_KEY: secretSchema.optional().describe('Credential for OpenAI where none is stored; gateway only.'),
  VALETKEY_PRICES: z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('JSON file with prices of models, beside and over the bundled ones; the same for all gateways. `valetkey models` lists all.'),
  VALETKEY_EGRESS_HOSTS: hostListSchema
    .optional()
    .describe(
      'Hosts that jobs may name in `sandbox.egress`, with commas between them: `npm.example.com`, `*.example.com`, `git.example.com:8443`, `*` for any; ports 443 and 80 where none is named. Workers; nothing unless set.',
    ),
  VALETKEY_EGRESS_PRIVATE_HOSTS: privateHostsSchema
    .optional()
    .describe(
      'Of these, `host:port` that may resolve to a private or loopback address, with commas between them; `host:port=address` is reached there, without a look-up. Workers.',
    ),
  VALETKEY_EGRESS_MAX_TRANSFER: mebibytesSchema
    .default(10_240 * MIB)
    .describe('MiB that the egress of one sandbox may transfer, both directions together (default 10240). Workers.'),
  VALETKEY_EGRESS_CA: z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('PEM file of certificate authorities that tools in sandboxes with egress trust beside the system’s. Workers.'),
  VALETKEY_HEARTBEAT_INTERVAL: secondsSchema
    .optional()
    .describe(
      'Seconds between two heartbeats of a running turn, at most (default 30, or 60 where Temporal pushes cancels). Each is a billed action of Temporal Cloud; a cancel does not wait for the next.',
    ),
  VALETKEY_KEY_LEASE: secondsSchema
    .default(120_000)
    .describe('Seconds that a key lives when nothing of Valetkey is up to renew it (default 120); where the gateway can renew.'),
  VALETKEY_SWEEP_INTERVAL: secondsSchema
    .default(5000)
    .describe(
      'Seconds between two looks at jobs that closed without ending their keys (default 5). One worker looks, at no billed action.',
    ),
  VALETKEY_INVENTORY_INTERVAL: secondsSchema
    .default(300_000)
    .describe(
      'Seconds between two inventories of ledger, gateways and sandboxes (default 300). Each is six billed actions, and one per host.',
    ),
  VALETKEY_SWEEP_GRACE: secondsSchema.default(60_000).describe('Seconds that an inventory leaves alone what was just made (default 60).'),
  VALETKEY_ROTATE_AFTER: z.coerce
    .number()
    .positive()
    .default(24)
    .transform((hours) => Math.round(hours * HOUR_MS))
    .describe('Hours after which the key of a job that still runs is rotated (default 24).'),
  VALETKEY_EVENT_RETENTION: z.coerce
    .number()
    .positive()
    .max(36_500)
    .default(30)
    .describe('Days that the events and the artifacts of a job are kept after its end; workers delete them. Keys and settlements stay.'),
  VALETKEY_METRICS_ADDRESS: addressSchema
    .optional()
    .describe('Where a worker answers Prometheus, under /metrics: Valetkey’s figures and those of Temporal’s SDK; nowhere unless set.'),
  XDG_CACHE_HOME: z.string().default(join(homedir(), '.cache')).describe('Folder of caches, of Temporal’s development server for example.'),
  XDG_STATE_HOME: z
    .string()
    .startsWith('/', 'must be an absolute path')
    .default(process.getuid?.() === 0 ? '/var/lib' : join(homedir(), '.local/state'))
    .describe('Folder in which `valetkey dev` has its data folder, `valetkey-dev`.'),
  VALETKEY_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info').describe('Least severe level that is logged.'),
});

export type Environment = z.output<typeof environmentSchema>;

/** What the variables must be together. */
export const checkedEnvironmentSchema = environmentSchema.superRefine(oneSourceOfKeys).superRefine(mountsApart);

function oneSourceOfKeys({ VALETKEY_KEYRING, VALETKEY_ROOT_KEY, VALETKEY_SEALING_KEY }: Environment, context: z.RefinementCtx): void {
  if (VALETKEY_KEYRING === undefined) return;
  for (const [name, value] of Object.entries({ VALETKEY_ROOT_KEY, VALETKEY_SEALING_KEY }))
    if (value !== undefined) context.addIssue({ code: 'custom', path: [name], message: 'must not be set beside VALETKEY_KEYRING' });
}

/** What is in the state directory is other jobs', and the copies that sandboxes see. */
function mountsApart({ VALETKEY_SANDBOX_MOUNTS, VALETKEY_STATE_DIR }: Environment, context: z.RefinementCtx): void {
  for (const path of VALETKEY_SANDBOX_MOUNTS)
    if (`${VALETKEY_STATE_DIR}/`.startsWith(`${path}/`) || path.startsWith(`${VALETKEY_STATE_DIR}/`))
      context.addIssue({ code: 'custom', path: ['VALETKEY_SANDBOX_MOUNTS'], message: 'must not hold, or lie in, VALETKEY_STATE_DIR' });
}
