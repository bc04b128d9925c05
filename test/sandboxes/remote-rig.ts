import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { z } from 'zod';

import { agents } from '../../src/agents/index.ts';
import { createRemoteSandboxes } from '../../src/sandboxes/remote/index.ts';
import { SERVER_PORT } from '../../src/sandboxes/remote/vendor.ts';
import type { SandboxProvider } from '../../src/sandboxes/sandbox.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { startFakeDaytona } from '../fakes/daytona/server.ts';
import { startFakeE2b } from '../fakes/e2b/server.ts';
import type { Cloud } from '../fakes/remote/cloud.ts';
import { FAKE_GATEWAY_URL } from '../fakes/remote/machine.ts';

export type RemoteName = 'e2b' | 'daytona';

/** What a process needs to create a provider. */
export interface RemotePlace {
  name: RemoteName;
  url: string;
  apiKey: string;
  stateDir: string;
  owner: string;
  lifetimeMs: number;
}

export interface RemoteRig {
  name: RemoteName;
  cloud: Cloud;
  place: RemotePlace;
  provider: SandboxProvider;
  /** What reached the gateway. */
  requests: string[];
  /** Where the server of a sandbox is reached from outside, and the vendor's token for it. */
  addressOf(id: string): Promise<{ url: string; headers: Record<string, string>; token: Record<string, string> }>;
  close(): Promise<void>;
}

const PATH = process.env['PATH'] ?? '';

/** A remote provider in front of its vendor's fake, and a gateway that answers `gateway` to everything. */
export async function createRemoteRig(name: RemoteName, { lifetimeMs = 10 * 60_000 } = {}): Promise<RemoteRig> {
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-remote-'));
  await chmod(stateDir, 0o755);
  const socketDir = join(stateDir, 'gateway');
  await mkdir(socketDir);
  const requests: string[] = [];
  const gateway = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    response.end('gateway');
  });
  await new Promise<void>((resolve) => gateway.listen(join(socketDir, 'gateway.sock'), resolve));
  await chmod(join(socketDir, 'gateway.sock'), 0o666);
  const host = { stateDir, socketDir, path: PATH };
  const cloud = name === 'e2b' ? await startFakeE2b(host) : await startFakeDaytona(host);
  const place = { name, url: cloud.url, apiKey: cloud.apiKey, stateDir, owner: 'default/tests', lifetimeMs };
  return {
    name,
    cloud,
    place,
    provider: providerAt(place),
    requests,
    async addressOf(id) {
      const token = cloud.sandboxes.get(id)?.portToken ?? '';
      if (name === 'e2b')
        return {
          url: cloud.url,
          headers: { 'e2b-sandbox-id': id, 'e2b-sandbox-port': String(SERVER_PORT) },
          token: { 'e2b-traffic-access-token': token },
        };
      const preview = await fetch(`${cloud.url}/sandbox/${id}/ports/${SERVER_PORT}/preview-url`, {
        headers: { authorization: `Bearer ${cloud.apiKey}` },
      });
      const { url } = z.object({ url: z.string() }).parse(await preview.json());
      return { url, headers: {}, token: { 'x-daytona-preview-token': token } };
    },
    async close() {
      await cloud.close();
      gateway.closeAllConnections();
      await new Promise((resolve) => gateway.close(resolve));
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

/** Creates the provider of a place, as any process can. */
export function providerAt({ name, url, apiKey, stateDir, owner, lifetimeMs }: RemotePlace): SandboxProvider {
  const stored = new Map<string, Buffer>();
  const key = new Secret(apiKey);
  const { e2b, daytona } = createRemoteSandboxes({
    agents,
    owner,
    settings: {
      ...(name === 'e2b'
        ? { e2b: { apiKey: key, template: 'valetkey', domain: 'e2b.test', apiUrl: url, sandboxUrl: url } }
        : { daytona: { apiKey: key, snapshot: 'valetkey', apiUrl: url } }),
      gatewayUrl: FAKE_GATEWAY_URL,
      lifetimeMs,
      startsPerSecond: 50,
    },
    folders: {
      write: (jobId, content) => Promise.resolve(void stored.set(jobId, content)),
      read: (jobId) => Promise.resolve(stored.get(jobId) ?? null),
      remove: () => Promise.resolve(),
    },
    egress: { allowed: [{ host: '*', below: false, port: null }], maxBytes: 1024 ** 3 },
    stateDir,
    path: PATH,
    outbound: { https: null, http: null, noProxy: '' },
  });
  const provider = e2b ?? daytona;
  if (provider === undefined) throw new Error('The provider was not created.');
  return provider;
}
