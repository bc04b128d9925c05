import type { GatewayName } from '../contract/credential.ts';
import { BuiltinGateway, type BuiltinGatewayOptions } from './builtin/builtin.ts';
import type { Gateway } from './gateway.ts';

export type Gateways = Record<GatewayName, Gateway>;

/** Creates every gateway that a job can name. Construction does no I/O. */
export function createGateways(options: { builtin: BuiltinGatewayOptions }): Gateways {
  return { builtin: new BuiltinGateway(options.builtin) };
}
