import { createRemoteRig, providerAt, type RemoteName } from '../sandboxes/remote-rig.ts';
import { startAndKillWorker } from '../sandboxes/start-worker.ts';
import { describeSandboxProvider, type SandboxRig } from './sandbox.ts';

/** Runs the suite of sandbox providers on a remote one, in front of its vendor's fake. */
export function describeRemoteProvider(name: RemoteName, isolation: SandboxRig['isolation']): void {
  describeSandboxProvider(name, () => startRemoteRig(name, isolation), {
    isHostBound: false,
    reportsLimits: false,
    isolates: true,
    hasLimits: false,
    endsAtExpiry: false,
    failsAlone: true,
  });
}

async function startRemoteRig(name: RemoteName, isolation: SandboxRig['isolation']): Promise<SandboxRig> {
  const rig = await createRemoteRig(name);
  const { cloud, place } = rig;
  const ofJob = (jobId: string) => [...cloud.sandboxes.values()].filter(({ labels }) => Object.values(labels).includes(jobId));
  return {
    ...rig,
    isolation,
    colleague: providerAt(place),
    stranger: providerAt({ ...place, owner: 'default/stranger' }),
    startElsewhere: (jobId) => startAndKillWorker(name, place, { jobId, isolation }),
    // The vendor does not notice at once.
    kill: async ({ id }) => cloud.sandboxes.get(id)?.machine.crash(),
    remains: (jobId) => Promise.resolve(ofJob(jobId).map(({ id }) => id)),
    visible: ({ id }) => {
      const { labels, name: title, request: asked } = cloud.sandboxes.get(id) ?? {};
      return Promise.resolve(JSON.stringify([labels, title, asked, cloud.requests]));
    },
    // With neither token, and with the vendor's, but without the server's own.
    intrude: async ({ id }) => {
      const { url, headers, token } = await rig.addressOf(id);
      const tries = [headers, { ...headers, ...token }, { ...headers, ...token, authorization: `Bearer ${'0'.repeat(64)}` }];
      const answers = await Promise.all(tries.map(async (sent) => fetch(`${url}/v1/acp`, { headers: sent })));
      return answers.some(({ ok }) => ok);
    },
  };
}
