import { installPortkeyOss, PORTKEY_OSS_VERSION, startPortkeyOss } from '../../test/helpers/portkey-gateway.ts';
import { MODELS, PATHS, PROTOCOLS, type Protocol, type Target } from '../gateway/call.ts';
import { processTree } from '../process-tree.ts';
import type { Peer, RunningPeer } from './peer.ts';

/** Portkey's open-source gateway: it has no keys and no budgets. */
export const portkey: Peer = {
  version: PORTKEY_OSS_VERSION,
  async start({ upstream }): Promise<RunningPeer> {
    const installed = await installPortkeyOss();
    if (installed === null) throw new Error('npm cannot install it.');
    const gateway = await startPortkeyOss(installed);
    const { baseUrl, pid } = gateway;
    return {
      targets: Object.fromEntries(PROTOCOLS.map((protocol) => [protocol, targetOf({ baseUrl, upstream, protocol })])),
      processes: async () => ({ gateway: await processTree(pid), store: [] }),
      stop: () => gateway.close(),
    };
  },
};

function targetOf({ baseUrl, upstream, protocol }: { baseUrl: string; upstream: string; protocol: Protocol }): Target {
  const isAnthropic = protocol === 'messages';
  const credential = 'upstream-credential-for-the-bench';
  return {
    url: `${baseUrl}/v1${PATHS[protocol]}`,
    headers: {
      'x-portkey-provider': isAnthropic ? 'anthropic' : 'openai',
      'x-portkey-custom-host': `${upstream}/v1`,
      ...(isAnthropic ? { 'x-api-key': credential } : { authorization: `Bearer ${credential}` }),
    },
    model: MODELS[protocol],
  };
}
