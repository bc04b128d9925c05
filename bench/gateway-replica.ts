import { loadConfig } from '../src/config/config.ts';
import { runGateway } from '../src/gateway.ts';

/** The gateway as a process of its own, which tells its URL to the one that started it. */
const { url } = await runGateway(loadConfig());
process.send?.(url);
process.on('disconnect', () => process.exit());
