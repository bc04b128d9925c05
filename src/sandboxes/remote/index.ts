import type { OutboundProxies } from '../../outbound/proxies.ts';
import { createDaytonaVendor } from '../daytona/daytona.ts';
import { createE2bVendor } from '../e2b/e2b.ts';
import type { RemoteSettings } from '../remote-settings.ts';
import type { SandboxProvider } from '../sandbox.ts';
import { createRemoteProvider, type RemoteProviderOptions } from './provider.ts';

/** What the remote providers have in common. */
export interface RemoteOptions extends Omit<RemoteProviderOptions, 'gatewayUrl' | 'startsPerSecond'> {
  settings: RemoteSettings;
  /** Namespace and deployment of the workers. */
  owner: string;
  outbound: OutboundProxies;
}

/** Creates the remote providers that are configured. Construction does no I/O. */
export function createRemoteSandboxes({ settings, owner, ...options }: RemoteOptions): {
  e2b?: SandboxProvider;
  daytona?: SandboxProvider;
} {
  const { e2b, daytona, gatewayUrl, lifetimeMs, startsPerSecond } = settings;
  const common = { owner, gatewayUrl, lifetimeMs, outbound: options.outbound };
  const provider = { ...options, gatewayUrl, startsPerSecond };
  return {
    ...(e2b !== undefined && { e2b: createRemoteProvider(createE2bVendor({ ...e2b, ...common }), provider) }),
    ...(daytona !== undefined && { daytona: createRemoteProvider(createDaytonaVendor({ ...daytona, ...common }), provider) }),
  };
}
