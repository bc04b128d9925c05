import { join } from 'node:path';

import { ValetkeyError } from '../contract/errors.ts';
import type { GatewaySettings } from '../gateways/index.ts';
import { readOutboundProxies } from '../outbound/proxies.ts';
import type { ProxySettings } from '../proxy/server/settings.ts';
import type { DockerSettings } from '../sandboxes/docker/settings.ts';
import type { EgressOptions } from '../sandboxes/egress/egress.ts';
import type { MachineSettings } from '../sandboxes/machine-settings.ts';
import { remoteSettings, type RemoteSettings } from '../sandboxes/remote-settings.ts';
import type { Secret } from '../secrets/secret.ts';
import { checkedEnvironmentSchema, type Environment } from './environment.ts';

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
  /** The sandbox providers of third parties. */
  remoteSandboxes: RemoteSettings;
  /** Sandboxes in containers; jobs can have them where an image is named. */
  docker: Omit<DockerSettings, 'image'> & { image: string | undefined };
  /** Path of gVisor’s runsc; undefined: the one on `path`. */
  runsc: string | undefined;
  agentsDir: string | undefined;
  gateway: ProxySettings & { socketPath: string };
  /** The gateways of third parties that a worker mints keys at. */
  gateways: GatewaySettings;
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
  const parsed = checkedEnvironmentSchema.safeParse(present);
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
    remoteSandboxes: remoteSettings(env),
    docker: {
      image: env.VALETKEY_DOCKER_IMAGE,
      socketPath: env.DOCKER_HOST.replace(/^unix:\/\//, ''),
      engineStateDir: env.VALETKEY_DOCKER_STATE_DIR,
      gvisorRuntime: env.VALETKEY_DOCKER_GVISOR_RUNTIME,
      maxConcurrentStarts: env.VALETKEY_DOCKER_STARTS,
    },
    runsc: env.VALETKEY_RUNSC,
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
      anthropic: {
        baseUrl: withoutSlash(env.VALETKEY_ANTHROPIC_BASE_URL),
        credential: env.ANTHROPIC_API_KEY,
        headers: env.VALETKEY_ANTHROPIC_HEADERS,
      },
      openai: {
        baseUrl: withoutSlash(env.VALETKEY_OPENAI_BASE_URL),
        credential: env.OPENAI_API_KEY,
        headers: env.VALETKEY_OPENAI_HEADERS,
      },
      gateways: gatewayAddresses(env),
      chatgptUrl: withoutSlash(env.VALETKEY_CHATGPT_BASE_URL),
      tokenUrls: { anthropic: env.VALETKEY_ANTHROPIC_TOKEN_URL, openai: env.VALETKEY_OPENAI_TOKEN_URL },
    },
    gateways: gatewaysOf(env),
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
    eventRetentionMs: env.VALETKEY_EVENT_RETENTION,
    metricsAddress: env.VALETKEY_METRICS_ADDRESS,
    logLevel: env.VALETKEY_LOG_LEVEL,
    cacheDir: join(env.XDG_CACHE_HOME, 'valetkey'),
    devDir: join(env.XDG_STATE_HOME, 'valetkey-dev'),
    path: environment.PATH ?? '',
  };
}

function gatewayAddresses(env: Environment): ProxySettings['gateways'] {
  const litellm = env.VALETKEY_LITELLM_BASE_URL;
  return {
    ...(litellm === undefined ? {} : { litellm: { baseUrl: withoutSlash(litellm) } }),
    openrouter: { baseUrl: withoutSlash(env.VALETKEY_OPENROUTER_BASE_URL) },
    portkey: { baseUrl: withoutSlash(env.VALETKEY_PORTKEY_BASE_URL), headers: env.VALETKEY_PORTKEY_HEADERS },
  };
}

function gatewaysOf(env: Environment): GatewaySettings {
  const { litellm, openrouter, portkey } = gatewayAddresses(env);
  const { LITELLM_MASTER_KEY, OPENROUTER_PROVISIONING_KEY, OPENROUTER_WORKSPACE_ID, PORTKEY_API_KEY, PORTKEY_WORKSPACE_ID } = env;
  return {
    ...(litellm === undefined || LITELLM_MASTER_KEY === undefined
      ? {}
      : { litellm: { baseUrl: litellm.baseUrl, masterKey: LITELLM_MASTER_KEY } }),
    ...(openrouter === undefined || OPENROUTER_PROVISIONING_KEY === undefined
      ? {}
      : {
          openrouter: { baseUrl: openrouter.baseUrl, provisioningKey: OPENROUTER_PROVISIONING_KEY, workspaceId: OPENROUTER_WORKSPACE_ID },
        }),
    ...(portkey === undefined || PORTKEY_API_KEY === undefined || PORTKEY_WORKSPACE_ID === undefined
      ? {}
      : { portkey: { baseUrl: portkey.baseUrl, adminKey: PORTKEY_API_KEY, workspaceId: PORTKEY_WORKSPACE_ID } }),
  };
}

function withoutSlash(url: string): string {
  return url.replace(/\/$/, '');
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

/** Returns the environment of this process, for those who look in it for what is not Valetkey's own. */
export function hostEnvironment(): NodeJS.ProcessEnv {
  return process.env;
}
