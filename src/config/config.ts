import { isIP } from 'node:net';
import { homedir, hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadClientConnectConfig, type ClientConnectConfig } from '@temporalio/envconfig';
import { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import { parseAllowedHost, parsePrivateHost } from '../contract/host-rule.ts';
import { readOutboundProxies } from '../outbound/proxies.ts';
import type { ProxySettings } from '../proxy/server/settings.ts';
import type { EgressOptions } from '../sandboxes/egress/egress.ts';
import { machineVariables, type MachineSettings } from '../sandboxes/machine-settings.ts';
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
const DAY_MS = 24 * HOUR_MS;

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
    .describe('What `valetkey seal` and `valetkey upstream set` seal for: public.'),
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

type Environment = z.output<typeof environmentSchema>;

/** Everything that comes from outside, typed. Durations in ms. */
export interface Config {
  databaseUrl: string | undefined;
  /** Where it is set, `rootKey` and `sealingKey` are not. */
  keyringPath: string | undefined;
  rootKey: Secret | undefined;
  sealingKey: Secret | undefined;
  sealingPublicKey: string | undefined;
  taskQueue: string;
  deployment: string;
  host: string;
  stateDir: string;
  sandboxes: MachineSettings;
  agentsDir: string | undefined;
  gateway: ProxySettings & { socketPath: string };
  /** File with prices of models; absent: the bundled prices only. */
  pricesPath: string | undefined;
  /** What of the network jobs may have. */
  egress: Pick<EgressOptions, 'allowed' | 'privateHosts' | 'maxBytes' | 'caFile'>;
  /** Absent: as Temporal’s abilities want it. */
  heartbeatMs: number | undefined;
  keyLeaseMs: number;
  sweepIntervalMs: number;
  inventoryIntervalMs: number;
  sweepGraceMs: number;
  rotateAfterMs: number;
  eventRetentionMs: number;
  metricsAddress: string | undefined;
  logLevel: Environment['VALETKEY_LOG_LEVEL'];
  cacheDir: string;
  /** Data folder of `valetkey dev`. */
  devDir: string;
  /** PATH, to look for programs. */
  path: string;
}

/** Reads the environment. An empty variable counts as absent. Throws `invalid_config` that names the variable, never its value. */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const present = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = environmentSchema.superRefine(oneSourceOfKeys).superRefine(mountsApart).safeParse(present);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
    throw new ValetkeyError('invalid_config', issues.map(({ path, message }) => `${path}: ${message}`).join('; '), issues);
  }
  const env = parsed.data;
  return {
    databaseUrl: env.DATABASE_URL,
    keyringPath: env.VALETKEY_KEYRING,
    rootKey: env.VALETKEY_ROOT_KEY,
    sealingKey: env.VALETKEY_SEALING_KEY,
    sealingPublicKey: env.VALETKEY_SEALING_PUBLIC_KEY,
    taskQueue: env.VALETKEY_TASK_QUEUE,
    deployment: env.VALETKEY_DEPLOYMENT ?? env.VALETKEY_TASK_QUEUE,
    host: env.VALETKEY_HOST,
    stateDir: env.VALETKEY_STATE_DIR,
    sandboxes: {
      limits: { defaults: env.VALETKEY_SANDBOX_LIMITS, maxima: env.VALETKEY_SANDBOX_MAX_LIMITS },
      mounts: env.VALETKEY_SANDBOX_MOUNTS,
      path: env.VALETKEY_SANDBOX_PATH,
    },
    agentsDir: env.VALETKEY_AGENTS_DIR,
    gateway: {
      host: env.VALETKEY_GATEWAY_HOST,
      port: env.VALETKEY_GATEWAY_PORT,
      ...gatewaySocket(env.VALETKEY_STATE_DIR),
      idleTimeoutMs: env.VALETKEY_GATEWAY_IDLE_TIMEOUT,
      drainTimeoutMs: env.VALETKEY_GATEWAY_DRAIN_TIMEOUT,
      maxTries: env.VALETKEY_GATEWAY_TRIES,
      connections: {
        maxConnections: env.VALETKEY_GATEWAY_MAX_CONNECTIONS,
        maxConnectionsPerAddress: env.VALETKEY_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS,
        requestTimeoutMs: env.VALETKEY_GATEWAY_REQUEST_TIMEOUT,
      },
      bodies: { totalBytes: env.VALETKEY_GATEWAY_BODY_MEMORY, bytesPerKey: env.VALETKEY_KEY_BODY_MEMORY },
      keys: {
        requestsPerMinute: env.VALETKEY_KEY_REQUESTS_PER_MINUTE,
        concurrentRequests: env.VALETKEY_KEY_CONCURRENT_REQUESTS,
        totalConcurrentRequests: env.VALETKEY_GATEWAY_CONCURRENT_REQUESTS,
      },
      rates: {
        tenantRequests: env.VALETKEY_TENANT_REQUESTS_PER_MINUTE,
        upstreamRequests: env.VALETKEY_UPSTREAM_REQUESTS_PER_MINUTE,
        tenantTokens: env.VALETKEY_TENANT_TOKENS_PER_MINUTE,
        upstreamTokens: env.VALETKEY_UPSTREAM_TOKENS_PER_MINUTE,
      },
      outbound: readOutboundProxies(environment),
      adminAddress: env.VALETKEY_GATEWAY_ADMIN_ADDRESS,
      anthropic: { baseUrl: env.VALETKEY_ANTHROPIC_BASE_URL.replace(/\/$/, ''), credential: env.ANTHROPIC_API_KEY },
      openai: { baseUrl: env.VALETKEY_OPENAI_BASE_URL.replace(/\/$/, ''), credential: env.OPENAI_API_KEY },
    },
    pricesPath: env.VALETKEY_PRICES,
    egress: {
      allowed: env.VALETKEY_EGRESS_HOSTS ?? [],
      privateHosts: env.VALETKEY_EGRESS_PRIVATE_HOSTS ?? new Map(),
      maxBytes: env.VALETKEY_EGRESS_MAX_TRANSFER,
      caFile: env.VALETKEY_EGRESS_CA,
    },
    heartbeatMs: env.VALETKEY_HEARTBEAT_INTERVAL,
    keyLeaseMs: env.VALETKEY_KEY_LEASE,
    sweepIntervalMs: env.VALETKEY_SWEEP_INTERVAL,
    inventoryIntervalMs: env.VALETKEY_INVENTORY_INTERVAL,
    sweepGraceMs: env.VALETKEY_SWEEP_GRACE,
    rotateAfterMs: env.VALETKEY_ROTATE_AFTER,
    eventRetentionMs: env.VALETKEY_EVENT_RETENTION * DAY_MS,
    metricsAddress: env.VALETKEY_METRICS_ADDRESS,
    logLevel: env.VALETKEY_LOG_LEVEL,
    cacheDir: join(env.XDG_CACHE_HOME, 'valetkey'),
    devDir: join(env.XDG_STATE_HOME, 'valetkey-dev'),
    path: environment.PATH ?? '',
  };
}

/** Each of them is about one stack or another: where one is set, its user has chosen. */
const STACK_VARIABLES = [
  'DATABASE_URL',
  'TEMPORAL_ADDRESS',
  'TEMPORAL_NAMESPACE',
  'TEMPORAL_API_KEY',
  'TEMPORAL_PROFILE',
  'TEMPORAL_CONFIG_FILE',
  'VALETKEY_TASK_QUEUE',
  'VALETKEY_DEPLOYMENT',
];

/** Whether the environment names a stack, or a part of one. */
export function namesStack(): boolean {
  return STACK_VARIABLES.some((name) => process.env[name] !== undefined && process.env[name] !== '');
}

/** The configuration as it is with more variables in the environment. Throws `invalid_config`. */
export function loadConfigWith(variables: NodeJS.Dict<string>): Config {
  return loadConfig({ ...process.env, ...variables });
}

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

/**
 * Where Temporal is, by its own variables and profile. Throws `invalid_config`, without the words of the parser: it quotes what
 * it read, keys included.
 */
export function temporalConfig(): ClientConnectConfig {
  const config = readTemporalConfig();
  const { address, apiKey } = config.connectionOptions;
  // gRPC refuses them with an error that quotes the key.
  if (typeof apiKey === 'string' && !/^[\x20-\x7e]*$/.test(apiKey))
    throw wrongTemporal('TEMPORAL_API_KEY', 'has characters that a header cannot have, such as a newline');
  if (address !== undefined && !/^[\w.-]+(:\d+)?$|^\[[\da-f:]+\](:\d+)?$/i.test(address))
    throw wrongTemporal('TEMPORAL_ADDRESS', 'must be host:port');
  return config;
}

function readTemporalConfig(): ClientConnectConfig {
  try {
    return loadClientConnectConfig();
  } catch {
    throw wrongTemporal('TEMPORAL_PROFILE', 'it or its configuration file cannot be read');
  }
}

function wrongTemporal(path: string, message: string): ValetkeyError {
  return new ValetkeyError('invalid_config', `${path}: ${message}`, [{ path, message }]);
}

/** Where the gateway of a host has its unix socket. */
export function gatewaySocket(stateDir: string): { socketDir: string; socketPath: string } {
  const socketDir = join(stateDir, 'gateway');
  return { socketDir, socketPath: join(socketDir, 'gateway.sock') };
}

/** What a value of the configuration is worth to a command: throws `invalid_config` where it is missing. */
export function required<T>(value: T | undefined, variable: string): T {
  if (value === undefined) throw new ValetkeyError('invalid_config', `${variable} is not set`, [{ path: variable, message: 'is not set' }]);
  return value;
}
