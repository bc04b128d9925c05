import { isIP } from 'node:net';
import { homedir, hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

import { z } from 'zod';

import { durationSchema } from '../contract/duration-schema.ts';
import { durationMs } from '../contract/duration.ts';
import { parseAllowedHost, parsePrivateHost } from '../contract/host-rule.ts';
import { machineVariables } from '../sandboxes/machine-settings.ts';
import { missingRemoteVariables, remoteVariables } from '../sandboxes/remote-settings.ts';
import { readRootKeys } from '../secrets/root-key.ts';
import { readPrivateKeys, readPublicKey } from '../secrets/sealing-key.ts';
import { Secret } from '../secrets/secret.ts';

const secretSchema = z
  .string()
  .min(1)
  .transform((text) => new Secret(text));
const portSchema = z.coerce.number().int().min(0).max(65535);
/** Node's timers hold no more than 24.8 days. */
const timerSchema = durationSchema('24d').transform(durationMs);
const ageSchema = durationSchema('36500d').transform(durationMs);
const limitSchema = z.coerce.number().int().positive();
const MIB = 1024 * 1024;
const mebibytesSchema = z.coerce
  .number()
  .positive()
  .transform((mebibytes) => Math.round(mebibytes * MIB));
/** Names that are the proxy's own to send. */
const OWN_HEADERS =
  /^(host|connection|content-.*|transfer-encoding|authorization|x-api-key|x-portkey-api-key|accept-encoding|te|trailer|upgrade)$/;
const headersSchema = z
  .string()
  .transform((text) =>
    text
      .split(';')
      .map((header) => header.trim())
      .filter((header) => header !== ''),
  )
  .refine(
    (headers) => headers.every((header) => /^[a-z0-9-]+: *[\x21-\x7e][\x20-\x7e]*$/.test(header)),
    'must be headers in small letters like x-portkey-provider: openai, several with semicolons between them',
  )
  .refine(
    (headers) => headers.every((header) => !OWN_HEADERS.test(header.split(':', 1)[0] ?? '')),
    'must not name a header of the credential, the connection or the content',
  )
  .transform((headers) =>
    Object.fromEntries(headers.map((header) => [header.split(':', 1)[0] ?? '', header.slice(header.indexOf(':') + 1).trim()])),
  )
  .prefault('');
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
    .describe(
      'Opens the sealed secrets of jobs, several with commas between them; workers, and gateways for stored credentials and for the keys that LiteLLM, OpenRouter or Portkey mint.',
    ),
  VALETKEY_SEALING_PUBLIC_KEY: z
    .string()
    .refine((text) => readPublicKey(text) !== null, 'must be a public sealing key: valetkey sealing-key')
    .optional()
    .describe(
      'What `valetkey seal` and `valetkey credentials` seal for, and workers the keys that LiteLLM, OpenRouter or Portkey mint: public.',
    ),
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
  ...remoteVariables,
  VALETKEY_DOCKER_IMAGE: z
    .string()
    .regex(/^[\w][\w.\-/:@]{0,254}$/, 'must be the name of an image')
    .optional()
    .describe(
      'Image of sandboxes in containers, which `valetkey images build` made; jobs can name the sandbox provider `docker` where workers have it. Workers.',
    ),
  DOCKER_HOST: z
    .string()
    .default('unix:///var/run/docker.sock')
    .describe('Unix socket of the Docker Engine, which runs on the host of the worker.'),
  VALETKEY_DOCKER_STATE_DIR: z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('VALETKEY_STATE_DIR as the Docker Engine finds it, where workers and gateway run in containers of their own.'),
  VALETKEY_DOCKER_STARTS: limitSchema.default(4).describe('Containers of sandboxes that one worker starts at once.'),
  VALETKEY_DOCKER_GVISOR_RUNTIME: z
    .string()
    .regex(/^[\w][\w.-]*$/, 'must be the name of a runtime')
    .optional()
    .describe('The Docker Engine’s runtime for jobs with the isolation `gvisor`; `runsc` unless set. Workers.'),
  VALETKEY_RUNSC: z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('Path of gVisor’s `runsc`, for local jobs with the isolation `gvisor`; the one on PATH unless set. Workers.'),
  VALETKEY_AGENTS_DIR: z.string().startsWith('/').optional().describe('Folder whose node_modules holds the ACP adapters.'),
  VALETKEY_GATEWAY_HOST: z.string().min(1).default('127.0.0.1').describe('Address that the gateway listens on.'),
  VALETKEY_GATEWAY_PORT: portSchema.default(8787).describe('Port of the gateway; 0 takes a free one.'),
  VALETKEY_GATEWAY_IDLE_TIMEOUT: timerSchema.prefault('5m').describe('How long a request waits for a byte from the provider.'),
  VALETKEY_GATEWAY_DRAIN_TIMEOUT: timerSchema
    .prefault('20s')
    .describe(
      'How long an answer is read on, for its usage, when its caller left; half a second once the key has ended. Then the provider is stopped and the reservation is charged.',
    ),
  VALETKEY_GATEWAY_TRIES: limitSchema
    .max(10)
    .default(5)
    .describe('How often a request is sent to a provider that fails for a moment, the first time included; 1: never again.'),
  VALETKEY_GATEWAY_REQUEST_TIMEOUT: timerSchema.prefault('1m').describe('How long the headers and the body of a request may take.'),
  VALETKEY_GATEWAY_MAX_CONNECTIONS: limitSchema
    .default(4_000)
    .describe('Connections to the port, and to the socket; fewer where the process may not open so many files. The idlest is closed.'),
  VALETKEY_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS: limitSchema.default(1_000).describe('Connections to the port from one address.'),
  VALETKEY_GATEWAY_CONCURRENT_REQUESTS: limitSchema.default(2_000).describe('Requests in flight, per replica.'),
  VALETKEY_GATEWAY_BODY_MEMORY: mebibytesSchema
    .prefault('256')
    .describe('MiB that the bodies of requests in flight may hold, per replica.'),
  VALETKEY_KEY_BODY_MEMORY: mebibytesSchema.prefault('64').describe('MiB of these that one key may hold.'),
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
  VALETKEY_CHATGPT_BASE_URL: z
    .url()
    .default('https://chatgpt.com/backend-api/codex')
    .describe('Where requests of ChatGPT plans go, without /responses; those of Claude plans go where Anthropic Messages go.'),
  VALETKEY_ANTHROPIC_TOKEN_URL: z
    .url()
    .default('https://platform.claude.com/v1/oauth/token')
    .describe('Where a gateway refreshes logins to Claude plans.'),
  VALETKEY_OPENAI_TOKEN_URL: z
    .url()
    .default('https://auth.openai.com/oauth/token')
    .describe('Where a gateway refreshes logins to ChatGPT plans.'),
  VALETKEY_ANTHROPIC_HEADERS: headersSchema.describe(
    'Headers that each request to VALETKEY_ANTHROPIC_BASE_URL gets beside its credential, for a gateway of your own at that address: `name: value`, several with semicolons between them. Gateways only.',
  ),
  VALETKEY_OPENAI_HEADERS: headersSchema.describe('The same for VALETKEY_OPENAI_BASE_URL. Gateways only.'),
  ANTHROPIC_API_KEY: secretSchema.optional().describe('Credential for Anthropic where none is stored; gateway only.'),
  OPENAI_API_KEY: secretSchema.optional().describe('Credential for OpenAI where none is stored; gateway only.'),
  VALETKEY_LITELLM_BASE_URL: z
    .url()
    .optional()
    .describe(
      'URL of LiteLLM’s proxy, without /v1: workers mint keys there, and gateways send the requests of its jobs there. The same for both.',
    ),
  LITELLM_MASTER_KEY: secretSchema
    .optional()
    .describe(
      'LiteLLM’s master key, or a virtual key of a proxy admin; jobs can name the gateway `litellm` where workers have it. Workers only.',
    ),
  VALETKEY_OPENROUTER_BASE_URL: z
    .url()
    .default('https://openrouter.ai/api')
    .describe('URL of OpenRouter’s API, without /v1. The same for workers and gateways.'),
  OPENROUTER_PROVISIONING_KEY: secretSchema
    .optional()
    .describe(
      'A management key of OpenRouter, earlier called provisioning key, which mints keys and cannot call models; jobs can name the gateway `openrouter` where workers have it. Workers only.',
    ),
  OPENROUTER_WORKSPACE_ID: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Id of the OpenRouter workspace in which keys are minted, best one that nothing else uses; the account’s default one unless set. Workers only.',
    ),
  VALETKEY_PORTKEY_BASE_URL: z
    .url()
    .default('https://api.portkey.ai')
    .describe('URL of Portkey, without /v1; of a self-hosted one for example. The same for workers and gateways.'),
  VALETKEY_PORTKEY_HEADERS: headersSchema.describe(
    'Headers that each request to Portkey gets beside the key, in the format of VALETKEY_ANTHROPIC_HEADERS: `x-portkey-provider: @my-openai`, for example. Gateways only.',
  ),
  PORTKEY_API_KEY: secretSchema
    .optional()
    .describe('An admin API key of Portkey, which mints keys; jobs can name the gateway `portkey` where workers have it. Workers only.'),
  PORTKEY_WORKSPACE_ID: z
    .string()
    .min(1)
    .optional()
    .describe('Slug of the Portkey workspace in which keys are minted, `ws-…`; required with PORTKEY_API_KEY. Workers only.'),
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
    .prefault('10240')
    .describe('MiB that the egress of one sandbox may transfer, both directions together. Workers.'),
  VALETKEY_EGRESS_CA: z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('PEM file of certificate authorities that tools in sandboxes with egress trust beside the system’s. Workers.'),
  VALETKEY_HEARTBEAT_INTERVAL: timerSchema
    .optional()
    .describe(
      'Longest time between two heartbeats of a running turn; unless set 30s, or 1m where Temporal pushes cancels. Each is a billed action of Temporal Cloud; a cancel does not wait for the next.',
    ),
  VALETKEY_KEY_LEASE: timerSchema
    .prefault('2m')
    .describe(
      'How long a key stays valid when no worker renews it. What OpenRouter and Portkey have for the job behind it cannot be renewed, and expires 5 minutes after the job’s deadline.',
    ),
  VALETKEY_SWEEP_INTERVAL: timerSchema
    .prefault('5s')
    .describe('Time between two scans for jobs that closed without ending their keys. One worker scans, at no billed action.'),
  VALETKEY_INVENTORY_INTERVAL: timerSchema
    .prefault('5m')
    .describe('Time between two inventories of ledger, gateways and sandboxes. Each is six billed actions, and one per host.'),
  VALETKEY_SWEEP_GRACE: timerSchema.prefault('1m').describe('How long an inventory ignores a key or a sandbox after its creation.'),
  VALETKEY_ROTATE_AFTER: ageSchema.prefault('24h').describe('Age at which the key of a job that still runs is rotated.'),
  VALETKEY_EVENT_RETENTION: ageSchema
    .prefault('30d')
    .describe('How long the events and the artifacts of a job are kept after its end; workers delete them. Keys and settlements stay.'),
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
export const checkedEnvironmentSchema = environmentSchema
  .superRefine(oneSourceOfKeys)
  .superRefine(wholeGateways)
  .superRefine(wholeRemotes)
  .superRefine(mountsApart)
  .superRefine(engineOfHost);

function oneSourceOfKeys({ VALETKEY_KEYRING, VALETKEY_ROOT_KEY, VALETKEY_SEALING_KEY }: Environment, context: z.RefinementCtx): void {
  if (VALETKEY_KEYRING === undefined) return;
  for (const [name, value] of Object.entries({ VALETKEY_ROOT_KEY, VALETKEY_SEALING_KEY }))
    if (value !== undefined) context.addIssue({ code: 'custom', path: [name], message: 'must not be set beside VALETKEY_KEYRING' });
}

/** A gateway that is half configured would be found by the first job. */
function wholeGateways({ VALETKEY_LITELLM_BASE_URL, LITELLM_MASTER_KEY, ...others }: Environment, context: z.RefinementCtx): void {
  const { PORTKEY_API_KEY, PORTKEY_WORKSPACE_ID } = others;
  const missing = (path: string, other: string): void =>
    context.addIssue({ code: 'custom', path: [path], message: `must be set with ${other}` });
  if (LITELLM_MASTER_KEY !== undefined && VALETKEY_LITELLM_BASE_URL === undefined)
    missing('VALETKEY_LITELLM_BASE_URL', 'LITELLM_MASTER_KEY');
  if (PORTKEY_API_KEY !== undefined && PORTKEY_WORKSPACE_ID === undefined) missing('PORTKEY_WORKSPACE_ID', 'PORTKEY_API_KEY');
}

/** A provider that is half configured would be found by the first job. */
function wholeRemotes(env: Environment, context: z.RefinementCtx): void {
  for (const { missing, requiredBy } of missingRemoteVariables(env))
    context.addIssue({ code: 'custom', path: [missing], message: `must be set with ${requiredBy}` });
}

/** A sandbox's folders are mounted by their path, so the engine has to be that of this host. */
function engineOfHost({ VALETKEY_DOCKER_IMAGE, DOCKER_HOST }: Environment, context: z.RefinementCtx): void {
  if (VALETKEY_DOCKER_IMAGE === undefined || DOCKER_HOST.startsWith('unix:///')) return;
  const message = 'must be a unix socket like unix:///var/run/docker.sock: sandboxes run on the engine of the worker’s own host';
  context.addIssue({ code: 'custom', path: ['DOCKER_HOST'], message });
}

/** What is in the state directory is other jobs', and the copies that sandboxes see. */
function mountsApart({ VALETKEY_SANDBOX_MOUNTS, VALETKEY_STATE_DIR }: Environment, context: z.RefinementCtx): void {
  for (const path of VALETKEY_SANDBOX_MOUNTS)
    if (`${VALETKEY_STATE_DIR}/`.startsWith(`${path}/`) || path.startsWith(`${VALETKEY_STATE_DIR}/`))
      context.addIssue({ code: 'custom', path: ['VALETKEY_SANDBOX_MOUNTS'], message: 'must not hold, or lie in, VALETKEY_STATE_DIR' });
}
