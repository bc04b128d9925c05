import { sql } from 'kysely';
import { z } from 'zod';

import { DIALECTS, type Dialect } from '../contract/dialect.ts';
import { asDatabaseError, type Db } from './database.ts';

const usdPerMillion = z.number().nonnegative().max(1e6);
const tokens = z.int().positive();

/** The prices (USD per million tokens) and limits of a model in an entry of a price file. */
export const modelPricesSchema = z.strictObject({
  dialect: z.enum(DIALECTS),
  inputUsdPerMillion: usdPerMillion,
  outputUsdPerMillion: usdPerMillion,
  /** Default: the input price. */
  cachedInputUsdPerMillion: usdPerMillion.optional(),
  /** Default: the input price. */
  cacheWriteUsdPerMillion: usdPerMillion.optional(),
  contextTokens: tokens.optional(),
  maxOutputTokens: tokens.optional(),
});

/** A model with a price of the operator. */
export type PricedModel = z.output<typeof modelPricesSchema> & { name: string };

/**
 * Replaces the rows of the table by these models. Clients read there which models the gateways price in addition to the bundled ones.
 * Idempotent; each gateway calls it when it starts, and all gateways of an installation have the same file. Throws
 * `database_unreachable`.
 */
export async function syncPricedModels(db: Db, models: readonly PricedModel[]): Promise<void> {
  const rows = models.map(({ dialect, name, ...prices }) => ({ dialect, name, prices: JSON.stringify(prices) }));
  const synced = db.transaction().execute(async (transaction) => {
    // Without the lock, gateways that start at the same moment would insert the same rows.
    await sql`lock table priced_models in exclusive mode`.execute(transaction);
    await transaction.deleteFrom('priced_models').execute();
    if (rows.length > 0) await transaction.insertInto('priced_models').values(rows).execute();
  });
  await asDatabaseError(synced);
}

/** Lists the names of a dialect's models in the gateways' price files. Throws `database_unreachable`. */
export async function listPricedModelNames(db: Db, dialect: Dialect): Promise<string[]> {
  const query = db.selectFrom('priced_models').select('name').where('dialect', '=', dialect).orderBy('name');
  return (await asDatabaseError(query.execute())).map(({ name }) => name);
}
