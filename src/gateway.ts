import { required, type Config } from './config/config.ts';
import { readPriceFile } from './proxy/prices/price-file.ts';
import { createPrices } from './proxy/prices/prices.ts';
import { startProxy, type Proxy } from './proxy/server/server.ts';
import { openKeyring } from './secrets/keyring.ts';
import { createUnsealer } from './secrets/unsealer.ts';
import { migrate, openDatabase } from './store/database.ts';
import { syncPricedModels } from './store/priced-models.ts';
import type { Logger } from './telemetry/log.ts';

/**
 * Runs the gateway process: one replica of the built-in gateway's data plane, with its own pool of database connections. Closing it
 * closes both. Throws `invalid_config`, `database_unreachable`.
 */
export async function runGateway(config: Config, logger?: Logger): Promise<Proxy> {
  const unsealer = createUnsealer(openKeyring(config, (problem) => logger?.warn(problem)));
  const models = config.pricesPath === undefined ? [] : readPriceFile(config.pricesPath);
  const database = openDatabase(required(config.databaseUrl, 'DATABASE_URL'), { maxConnections: 20 });
  try {
    await migrate(database);
    await syncPricedModels(database.db, models);
    const proxy = await startProxy({ database, unsealer, gateway: config.gateway, prices: createPrices(models), logger });
    return {
      url: proxy.url,
      socketPath: proxy.socketPath,
      adminUrl: proxy.adminUrl,
      close: async () => {
        await proxy.close();
        await database.close();
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}
