import type { ExternalGatewayName } from '../contract/gateway-name.ts';
import type { OutboundProxies } from '../outbound/proxies.ts';
import { BuiltinGateway, type BuiltinGatewayOptions } from './builtin/builtin.ts';
import type { Gateway, MeteredGateway } from './gateway.ts';
import { LiteLlmGateway, type LiteLlmOptions } from './litellm/litellm.ts';
import { OpenRouterGateway, type OpenRouterGatewayOptions } from './openrouter/openrouter.ts';
import { PortkeyGateway, type PortkeyOptions } from './portkey/portkey.ts';

/** The gateways that a worker is configured with. The built-in one is the proxy in front of all of them, too. */
export type Gateways = { builtin: MeteredGateway } & Partial<Record<ExternalGatewayName, Gateway>>;

type Settings<Options> = Omit<Options, 'owner' | 'outbound'>;

/** The address and the credential of each gateway of a third party; absent where it is not configured. */
export interface GatewaySettings {
  litellm?: Settings<LiteLlmOptions>;
  openrouter?: Settings<OpenRouterGatewayOptions>;
  portkey?: Settings<PortkeyOptions>;
}

export interface GatewayOptions extends GatewaySettings {
  builtin: BuiltinGatewayOptions;
  /** The namespace and deployment that mint the keys. */
  owner: string;
  outbound: OutboundProxies;
}

/** Creates the gateways that are configured. Construction does no I/O. */
export function createGateways({ builtin, litellm, openrouter, portkey, owner, outbound }: GatewayOptions): Gateways {
  const own = { owner, outbound };
  return {
    builtin: new BuiltinGateway(builtin),
    ...(litellm === undefined ? {} : { litellm: new LiteLlmGateway({ ...litellm, ...own }) }),
    ...(openrouter === undefined ? {} : { openrouter: new OpenRouterGateway({ ...openrouter, ...own }) }),
    ...(portkey === undefined ? {} : { portkey: new PortkeyGateway({ ...portkey, ...own }) }),
  };
}
