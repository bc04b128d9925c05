import { ValetkeyError } from '../../contract/errors.ts';
import { proxyFor, type OutboundProxies } from '../../outbound/proxies.ts';
import { readBounded } from '../../outbound/read-bounded.ts';
import type { Secret } from '../../secrets/secret.ts';
import { webHosts } from '../egress/web-hosts.ts';
import { SERVER_PORT, type Vendor, type VendorRequest, type VendorSandbox } from '../remote/vendor.ts';
import { callE2b } from './call.ts';
import { loadSdk, type E2bSandbox, type E2bSdk } from './sdk.ts';

const TITLE = 'E2B';
/** Of one request to its API. */
const REQUEST_TIMEOUT_MS = 30_000;
/** The user of our image; not the one that the vendor's own images have. */
const USER = 'agent';
const ALL_ADDRESSES = '0.0.0.0/0';
const LABELS = { owner: 'valetkey_owner', job: 'valetkey_job' } as const;

export interface E2bOptions {
  apiKey: Secret;
  /** Namespace and deployment of the workers: distinguishes their sandboxes from others of the account. */
  owner: string;
  /** Name or id of the template. */
  template: string;
  /** ms after which a sandbox ends that no worker extends. */
  lifetimeMs: number;
  /** The domain below which sandboxes are reached: `<port>-<id>.<domain>`. */
  domain: string;
  /** Default: `https://api.<domain>`. */
  apiUrl: string | undefined;
  /** A URL that routes to every sandbox by the headers `E2b-Sandbox-Id` and `E2b-Sandbox-Port`, in place of a host name for each. */
  sandboxUrl: string | undefined;
  gatewayUrl: string;
  outbound: OutboundProxies;
}

/**
 * E2B, by its SDK 2.51. The ports of a sandbox are public by default; ours require the vendor's traffic token beside the server's
 * own. The network rules are always sent as a whole, since a rule that is left out is cleared.
 */
export function createE2bVendor(options: E2bOptions): Vendor {
  const { owner, template, lifetimeMs, domain, apiUrl = `https://api.${domain}`, sandboxUrl, gatewayUrl, outbound } = options;
  const proxy = proxyFor(outbound, new URL(apiUrl));
  // Every option that the SDK would read from the environment is set here. It repeats a request only where the vendor limits the
  // rate and says how long to wait.
  const connection = {
    apiKey: options.apiKey.reveal(),
    domain,
    apiUrl,
    debug: false,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    retries: 3,
    ...(sandboxUrl !== undefined && { sandboxUrl }),
    ...(proxy !== null && { proxy }),
  };

  const call = async <T>(request: (sdk: E2bSdk) => Promise<T>): Promise<T> => {
    const sdk = await loadSdk();
    return callE2b(sdk, TITLE, () => request(sdk));
  };
  /** Also starts the lifetime of the sandbox again, and resumes one that somebody has paused. */
  const open = (id: string): Promise<E2bSandbox> => call(({ Sandbox }) => Sandbox.connect(id, { ...connection, timeoutMs: lifetimeMs }));

  return {
    name: 'e2b',
    title: TITLE,
    image: `E2B template ${template}`,
    lifetimeMs,

    requireSupported({ egress }) {
      if (egress !== undefined) webHosts(egress, TITLE);
    },

    async create({ jobId, egress }) {
      const sandbox = await call(({ Sandbox }) =>
        Sandbox.create(template, {
          ...connection,
          metadata: { [LABELS.owner]: owner, [LABELS.job]: jobId },
          timeoutMs: lifetimeMs,
          lifecycle: { onTimeout: 'kill' },
          network: networkOf(gatewayUrl, egress),
        }),
      );
      return sandbox.sandboxId;
    },

    async list(jobId) {
      const metadata = { [LABELS.owner]: owner, ...(jobId !== undefined && { [LABELS.job]: jobId }) };
      return call(async ({ Sandbox }) => {
        const pages = Sandbox.list({ ...connection, query: { metadata, state: ['running', 'paused'] } });
        const found: VendorSandbox[] = [];
        while (pages.hasNext) found.push(...(await pages.nextItems()).map(toVendorSandbox));
        return found;
      });
    },

    async find(id) {
      try {
        return toVendorSandbox(await call(({ Sandbox }) => Sandbox.getInfo(id, connection)));
      } catch (error) {
        if (ValetkeyError.is(error) && error.code === 'sandbox_lost') return null;
        throw error;
      }
    },

    async address(id) {
      const sandbox = await open(id);
      const token = sandbox.trafficAccessToken;
      const headers = token === undefined ? {} : { 'e2b-traffic-access-token': token };
      if (sandboxUrl === undefined) return { url: `https://${sandbox.getHost(SERVER_PORT)}`, headers };
      return { url: sandboxUrl, headers: { ...headers, 'e2b-sandbox-id': id, 'e2b-sandbox-port': String(SERVER_PORT) } };
    },

    async writeFile(id, path, content) {
      const sandbox = await open(id);
      await call(() => sandbox.files.write(path, content, { user: USER }));
    },

    async readFile(id, path, maxBytes) {
      const sandbox = await open(id);
      return call(async ({ FileNotFoundError }) => {
        try {
          return await readBounded(await sandbox.files.read(path, { user: USER, format: 'stream' }), maxBytes);
        } catch (error) {
          if (error instanceof FileNotFoundError) return null;
          throw error;
        }
      });
    },

    async runFile(id, path, timeoutMs) {
      const sandbox = await open(id);
      return call(async ({ CommandExitError }) => {
        try {
          // Its output is not read.
          return (await sandbox.commands.run(`sh ${path}`, { user: USER, timeoutMs, requestTimeoutMs: timeoutMs })).exitCode;
        } catch (error) {
          if (error instanceof CommandExitError) return error.exitCode;
          throw error;
        }
      });
    },

    async extend(id) {
      await call(({ Sandbox }) => Sandbox.setTimeout(id, lifetimeMs, connection));
    },

    async kill(id) {
      await call(({ Sandbox }) => Sandbox.kill(id, connection));
    },
  };
}

interface Listed {
  sandboxId: string;
  metadata: Record<string, string>;
  state: string;
  startedAt: Date;
  endAt: Date;
}

function toVendorSandbox({ sandboxId, metadata, state, startedAt, endAt }: Listed): VendorSandbox {
  const states = { running: 'running', paused: 'suspended' } as const;
  const known = state === 'running' || state === 'paused' ? states[state] : 'starting';
  return { id: sandboxId, jobId: metadata[LABELS.job] ?? '', state: known, startedAt, endsAt: endAt };
}

/** The whole network of a sandbox: the gateway, the hosts of the job, and nothing else in either direction without a token. */
function networkOf(gatewayUrl: string, egress: VendorRequest['egress']) {
  const hosts = egress === undefined ? [] : webHosts(egress, TITLE);
  return { allowPublicTraffic: false, allowOut: [new URL(gatewayUrl).hostname, ...hosts], denyOut: [ALL_ADDRESSES] };
}
