import type { ExternalGatewayName } from '../contract/gateway-name.ts';
import type { OutboundProxies } from '../outbound/proxies.ts';
import { BuiltinGateway, type BuiltinGatewayOptions } from './builtin/builtin.ts';
import type { Gateway, MeteredGateway } from './gateway.ts';
import { LiteLlmGateway, type LiteLlmOptions } from './litellm/litellm.ts';

/** The gateways that a worker is configured with. The built-in one is the proxy in front of all of them, too. */
export type Gateways = { builtin: MeteredGateway } & Partial<Record<ExternalGatewayName, Gateway>>;

type Settings<Options> = Omit<Options, 'owner' | 'outbound'>;

/** The address and the credential of each gateway of a third party; absent where it is not configured. */
export interface GatewaySettings {
  litellm?: Settings<LiteLlmOptions>;
}

export interface GatewayOptions extends GatewaySettings {
  builtin: BuiltinGatewayOptions;
  /** The namespace and deployment that mint the keys. */
  owner: string;
  outbound: OutboundProxies;
}

/** Creates the gateways that are configured. Construction does no I/O. */
export function createGateways({ builtin, litellm, owner, outbound }: GatewayOptions): Gateways {
  return {
    builtin: new BuiltinGateway(builtin),
    ...(litellm === undefined ? {} : { litellm: new LiteLlmGateway({ ...litellm, owner, outbound }) }),
  };
}
