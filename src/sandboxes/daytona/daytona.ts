import { createHash } from 'node:crypto';
import { isIP } from 'node:net';

import { z } from 'zod';

import type { OutboundProxies } from '../../outbound/proxies.ts';
import type { Secret } from '../../secrets/secret.ts';
import { webHosts } from '../egress/web-hosts.ts';
import { VendorHttp } from '../remote/vendor-http.ts';
import { remoteSandboxLost, SERVER_PORT, type Vendor, type VendorRequest, type VendorSandbox, type VendorState } from '../remote/vendor.ts';
import { ensurePlaceholder, PLACEHOLDER } from './placeholder-secret.ts';

const TITLE = 'Daytona';
const MINUTE_MS = 60_000;
const PAGE = 100;
/** The user of our image. */
const USER = 'agent';
const LABELS = { owner: 'valetkey.owner', job: 'valetkey.job' } as const;

export interface DaytonaOptions {
  apiKey: Secret;
  /** Namespace and deployment of the workers: distinguishes their sandboxes from others of the organization. */
  owner: string;
  /** Name or id of the snapshot. */
  snapshot: string;
  /** ms after which a sandbox ends that no worker extends; whole minutes. */
  lifetimeMs: number;
  /** Without a trailing slash. */
  apiUrl: string;
  gatewayUrl: string;
  outbound: OutboundProxies;
}

const sandboxSchema = z.object({
  id: z.string(),
  labels: z.record(z.string(), z.string()).default({}),
  state: z.string().optional(),
  desiredState: z.string().optional(),
  createdAt: z.string().optional(),
  autoDestroyAt: z.string().nullish(),
  toolboxProxyUrl: z.string(),
});
const pageSchema = z.object({ items: z.array(sandboxSchema), nextCursor: z.string().nullish() });
const previewSchema = z.object({ url: z.string(), token: z.string() });
const executedSchema = z.object({ exitCode: z.number() });

/**
 * Daytona's cloud, by the calls of its API (api-client 0.218) that a provider needs. A sandbox has a name that is derived from its
 * job, which the vendor keeps unique: so a creation whose answer was lost is found, and a second one is refused. It never stops by
 * itself while a worker extends it, and is deleted, whatever its state, when none did for its time to live.
 */
export function createDaytonaVendor(options: DaytonaOptions): Vendor {
  const { apiKey, owner, snapshot, lifetimeMs, apiUrl, gatewayUrl, outbound } = options;
  const http = new VendorHttp(TITLE, apiKey, outbound);
  const minutes = Math.ceil(lifetimeMs / MINUTE_MS);
  const at = (path: string): string => `${apiUrl}/sandbox${path}`;
  const nameOf = (jobId: string): string => `valetkey-${createHash('sha256').update(`${owner}\n${jobId}`).digest('hex').slice(0, 32)}`;
  const read = async (idOrName: string): Promise<z.output<typeof sandboxSchema> | null> =>
    http.json(at(`/${idOrName}`), sandboxSchema, { method: 'GET' });
  const required = <T>(found: T | null): T => {
    if (found === null) throw remoteSandboxLost(TITLE);
    return found;
  };
  let placeholder: Promise<void> | undefined;
  const toolbox = async (id: string): Promise<string> => `${required(await read(id)).toolboxProxyUrl.replace(/\/$/, '')}/${id}`;

  return {
    name: 'daytona',
    title: TITLE,
    image: `Daytona snapshot ${snapshot}`,
    lifetimeMs,

    requireSupported({ egress }) {
      if (egress !== undefined) webHosts(egress, TITLE);
    },

    async create({ jobId, egress }) {
      placeholder ??= ensurePlaceholder(http, apiUrl);
      placeholder.catch(() => (placeholder = undefined));
      await placeholder;
      const created = await http.json(at(''), sandboxSchema, {
        method: 'POST',
        json: {
          name: nameOf(jobId),
          snapshot,
          user: USER,
          labels: { [LABELS.owner]: owner, [LABELS.job]: jobId },
          public: false,
          // Never 0, with which nothing but the time to live would end it. A turn that runs has traffic all the time.
          autoStopInterval: minutes,
          autoDeleteInterval: 0,
          ttlMinutes: minutes,
          secrets: [PLACEHOLDER],
          ...networkOf(gatewayUrl, egress),
        },
      });
      return required(created).id;
    },

    async list(jobId) {
      const labels = JSON.stringify({ [LABELS.owner]: owner, ...(jobId !== undefined && { [LABELS.job]: jobId }) });
      const found = new Map<string, VendorSandbox>();
      let cursor: string | null | undefined;
      do {
        const query = new URLSearchParams({ labels, limit: String(PAGE), ...(cursor && { cursor }) });
        const page = await http.json(at(`?${query.toString()}`), pageSchema, { method: 'GET' });
        for (const item of page?.items ?? []) found.set(item.id, toVendorSandbox(item));
        cursor = page?.nextCursor;
      } while (cursor);
      // The name is looked up as well: a listing can miss what there is.
      const named = jobId === undefined ? null : await read(nameOf(jobId));
      if (named !== null) found.set(named.id, toVendorSandbox(named));
      return [...found.values()];
    },

    async find(id) {
      const found = await read(id);
      return found === null ? null : toVendorSandbox(found);
    },

    async address(id) {
      const { url, token } = required(await http.json(at(`/${id}/ports/${SERVER_PORT}/preview-url`), previewSchema, { method: 'GET' }));
      return { url: url.replace(/\/$/, ''), headers: { 'x-daytona-preview-token': token } };
    },

    async writeFile(id, path, content, signal) {
      const url = `${await toolbox(id)}/files/upload-v2?path=${encodeURIComponent(path)}`;
      required(
        await http.request(url, { method: 'POST', content: { type: 'application/octet-stream', body: content }, signal, isInside: true }),
      );
    },

    async readFile(id, path, maxBytes, signal) {
      const url = `${await toolbox(id)}/files/download?path=${encodeURIComponent(path)}`;
      return (await http.request(url, { method: 'GET', maxBytes, signal, timeoutMs: MINUTE_MS, isInside: true }))?.body ?? null;
    },

    async runFile(id, path, timeoutMs, signal) {
      // Two words, which mean the same with a shell and without one.
      const json = { command: `sh ${path}`, timeout: Math.ceil(timeoutMs / 1_000) };
      const call = { method: 'POST', json, timeoutMs: timeoutMs + 5_000, signal, isInside: true } as const;
      return required(await http.json(`${await toolbox(id)}/process/execute`, executedSchema, call)).exitCode;
    },

    async extend(id) {
      required(await http.request(at(`/${id}/ttl/${minutes}`), { method: 'POST' }));
    },

    async kill(id) {
      await http.request(at(`/${id}`), { method: 'DELETE' });
    },
  };
}

function toVendorSandbox({
  id,
  labels,
  state = '',
  desiredState,
  createdAt,
  autoDestroyAt,
}: z.output<typeof sandboxSchema>): VendorSandbox {
  return {
    id,
    jobId: labels[LABELS.job] ?? '',
    state: desiredState === 'destroyed' ? 'ended' : (STATES[state] ?? 'suspended'),
    startedAt: new Date(createdAt ?? 0),
    endsAt: typeof autoDestroyAt === 'string' ? new Date(autoDestroyAt) : null,
  };
}

/** What is not here does not run and may still cost: paused, stopped, archived, failed, or a state that is new. */
const STATES: Readonly<Record<string, VendorState>> = {
  started: 'running',
  creating: 'starting',
  restoring: 'starting',
  starting: 'starting',
  resuming: 'starting',
  pending_build: 'starting',
  building_snapshot: 'starting',
  pulling_snapshot: 'starting',
  destroying: 'ended',
  destroyed: 'ended',
};

/** The whole network of a sandbox: the gateway, by name or address, and the hosts of the job. */
function networkOf(gatewayUrl: string, egress: VendorRequest['egress']) {
  const gateway = new URL(gatewayUrl).hostname;
  const hosts = egress === undefined ? [] : webHosts(egress, TITLE);
  if (isIP(gateway) === 0) return { domainAllowList: [gateway, ...hosts].join(',') };
  return { networkAllowList: `${gateway}/32`, ...(hosts.length > 0 && { domainAllowList: hosts.join(',') }) };
}
