import { agents } from '../agents/index.ts';
import { gatewayOf } from '../contract/credential.ts';
import { providerOf } from '../contract/dialect.ts';
import { ValetkeyError } from '../contract/errors.ts';
import type { JobSpec } from '../contract/spec.ts';
import { createPrices } from '../proxy/prices/prices.ts';
import type { Protocol } from '../proxy/protocols/routes.ts';
import { findModelPrice, pricedNames } from '../proxy/upstream/gateway-models.ts';
import type { Database } from '../store/database.ts';
import { listPricedModelNames } from '../store/priced-models.ts';
import { editDistance } from './edit-distance.ts';

const PROTOCOLS = {
  messages: 'anthropic-messages',
  responses: 'openai-responses',
  chat: 'openai-chat',
} as const satisfies Record<string, Protocol>;

const MAX_SUGGESTIONS = 3;

const bundled = createPrices([]);

/**
 * Refuses a model that the gateways have no price for: its first request would fail. Reads from Postgres what their price files add,
 * and only where the bundled prices lack the model. Throws `model_unpriced`, `database_unreachable`.
 */
export async function checkModel(
  { db }: Pick<Database, 'db'>,
  { agent, model, credential }: Pick<JobSpec, 'agent' | 'model' | 'credential'>,
): Promise<void> {
  const protocol = PROTOCOLS[agents[agent].protocol];
  const gateway = gatewayOf(credential);
  if (findModelPrice(bundled, gateway, protocol, model) !== null) return;
  const dialect = providerOf(agents[agent].protocol);
  const added = await listPricedModelNames(db, dialect);
  if (pricedNames(gateway, model).some((name) => added.includes(name))) return;
  const known = bundled.list().flatMap((priced) => (priced.dialect === dialect ? [priced.name] : []));
  const nearest = nearestNames(model, new Set([...added, ...known]));
  const message = `The price of the model ${model} is unknown. The nearest names are ${nearest.join(', ')}; "valetkey models" lists all.`;
  throw new ValetkeyError('model_unpriced', message, [{ path: 'model', message: 'has no known price' }]);
}

function nearestNames(model: string, names: ReadonlySet<string>): string[] {
  return [...names]
    .map((name) => ({ name, distance: editDistance(model, name) }))
    .toSorted((a, b) => a.distance - b.distance || a.name.localeCompare(b.name))
    .slice(0, MAX_SUGGESTIONS)
    .map(({ name }) => name);
}
