import type { ExternalGatewayName } from '../contract/gateway-name.ts';
import { BuiltinGateway, type BuiltinGatewayOptions } from './builtin/builtin.ts';
import type { Gateway, MeteredGateway } from './gateway.ts';

/** The gateways that a worker is configured with. The built-in one is the proxy in front of all of them, too. */
export type Gateways = { builtin: MeteredGateway } & Partial<Record<ExternalGatewayName, Gateway>>;

/** Creates the gateways that are configured. Construction does no I/O. */
export function createGateways(options: { builtin: BuiltinGatewayOptions }): Gateways {
  return { builtin: new BuiltinGateway(options.builtin) };
}
