import { sql } from 'kysely';
import { z } from 'zod';

import { DIALECTS, type Dialect } from '../contract/dialect.ts';
import { asDatabaseError, type Db } from './database.ts';

const usdPerMillion = z.number().nonnegative().max(1e6);
const tokens = z.int().positive();

/** Prices and limits of a model, as an entry of a price file states them: USD per million tokens. */
export const modelPricesSchema = z.strictObject({
  dialect: z.enum(DIALECTS),
  inputUsdPerMillion: usdPerMillion,
  outputUsdPerMillion: usdPerMillion,
  /** Default: the price of input. */
  cachedInputUsdPerMillion: usdPerMillion.optional(),
  /** Default: the price of input. */
  cacheWriteUsdPerMillion: usdPerMillion.optional(),
  contextTokens: tokens.optional(),
  maxOutputTokens: tokens.optional(),
});

/** A model that an operator has priced. */
export type PricedModel = z.output<typeof modelPricesSchema> & { name: string };

/**
 * Makes the table hold these models and no others: clients read there which models the gateways price beyond the bundled ones.
 * Idempotent; a gateway calls it when it starts. All gateways of an installation have the same file. Throws `database_unreachable`.
 */
export async function syncPricedModels(db: Db, models: readonly PricedModel[]): Promise<void> {
  const rows = models.map(({ dialect, name, ...prices }) => ({ dialect, name, prices: JSON.stringify(prices) }));
  const synced = db.transaction().execute(async (transaction) => {
    // Gateways that start at the same moment would insert the same rows.
    await sql`lock table priced_models in exclusive mode`.execute(transaction);
    await transaction.deleteFrom('priced_models').execute();
    if (rows.length > 0) await transaction.insertInto('priced_models').values(rows).execute();
  });
  await asDatabaseError(synced);
}

/** The names of the models of a dialect that the gateways' price files hold. Throws `database_unreachable`. */
export async function listPricedModelNames(db: Db, dialect: Dialect): Promise<string[]> {
  const query = db.selectFrom('priced_models').select('name').where('dialect', '=', dialect).orderBy('name');
  return (await asDatabaseError(query.execute())).map(({ name }) => name);
}
