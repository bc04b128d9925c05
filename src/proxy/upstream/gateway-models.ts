import type { GatewayName } from '../../contract/gateway-name.ts';
import type { ModelPrice, Prices } from '../prices/prices.ts';
import type { Protocol } from '../protocols/routes.ts';

/** What gateways put before a provider's own name of a model: OpenRouter and LiteLLM its vendor, Portkey the slug of an integration. */
const PREFIX = /^(?:(?:anthropic|openai)\/|@[\w.-]+\/)/;

/** Lists the names by which the price of a model may be known: a gateway's own name, then the provider's name in it. */
export function pricedNames(gateway: GatewayName, model: string): string[] {
  return gateway === 'builtin' || !PREFIX.test(model) ? [model] : [model, model.replace(PREFIX, '')];
}

/** Finds the price of a model by the name that a gateway has for it. Null where it is unknown. */
export function findModelPrice(prices: Prices, gateway: GatewayName, protocol: Protocol, model: string): ModelPrice | null {
  for (const name of pricedNames(gateway, model)) {
    const price = prices.find(protocol, name);
    if (price !== null) return price;
  }
  return null;
}
