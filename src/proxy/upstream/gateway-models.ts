import type { GatewayName } from '../../contract/gateway-name.ts';
import type { ModelPrice, Prices } from '../prices/prices.ts';
import type { Protocol } from '../protocols/routes.ts';

/** What gateways put before a provider's own name of a model: OpenRouter and LiteLLM its vendor, Portkey the slug of an integration. */
const PREFIX = /^(?:(?:anthropic|openai)\/|@[\w.-]+\/)/;

/**
 * Finds the price of a model by the name that a gateway has for it: of exactly this name, else, at a gateway of a third party, of the
 * provider's name in it. Null where it is unknown.
 */
export function findModelPrice(prices: Prices, gateway: GatewayName, protocol: Protocol, model: string): ModelPrice | null {
  const exact = prices.find(protocol, model);
  return exact !== null || gateway === 'builtin' || !PREFIX.test(model) ? exact : prices.find(protocol, model.replace(PREFIX, ''));
}
