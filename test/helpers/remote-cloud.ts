import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startFakeDaytona } from '../fakes/daytona/server.ts';
import { startFakeE2b } from '../fakes/e2b/server.ts';
import type { Cloud, CloudSandbox } from '../fakes/remote/cloud.ts';
import { FAKE_GATEWAY_URL } from '../fakes/remote/machine.ts';
import type { RemoteName } from '../sandboxes/remote-rig.ts';

/** A vendor's fake for a whole stack. */
export interface RemoteCloud {
  cloud: Cloud;
  /** The variables with which workers are configured with it. */
  environment: NodeJS.ProcessEnv;
  /** Has the sandboxes reach the gateway whose socket is in that folder. */
  useGateway(socketDir: string): void;
  ofJob(jobId: string): CloudSandbox[];
  close(): Promise<void>;
}

/** Starts the fake of a vendor. Its sandboxes are in a folder of its own. */
export async function startRemoteCloud(name: RemoteName): Promise<RemoteCloud> {
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-cloud-'));
  await chmod(stateDir, 0o755);
  const host = { stateDir, socketDir: '', path: process.env['PATH'] ?? '' };
  const common = { VALETKEY_GATEWAY_PUBLIC_URL: FAKE_GATEWAY_URL, VALETKEY_REMOTE_SANDBOX_STARTS: '50' };
  const fake = name === 'e2b' ? await startFakeE2b(host) : await startFakeDaytona(host);
  const { url, apiKey } = fake;
  return {
    cloud: fake,
    environment:
      name === 'e2b'
        ? { ...common, E2B_API_KEY: apiKey, VALETKEY_E2B_TEMPLATE: 'valetkey', VALETKEY_E2B_API_URL: url, VALETKEY_E2B_SANDBOX_URL: url }
        : { ...common, DAYTONA_API_KEY: apiKey, VALETKEY_DAYTONA_SNAPSHOT: 'valetkey', VALETKEY_DAYTONA_API_URL: url },
    useGateway: (socketDir) => {
      host.socketDir = socketDir;
    },
    ofJob: (jobId) => [...fake.sandboxes.values()].filter(({ labels }) => Object.values(labels).includes(jobId)),
    async close() {
      await fake.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}
