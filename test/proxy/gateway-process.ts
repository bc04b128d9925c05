import { loadConfig } from '../../src/config/config.ts';
import { runGateway } from '../../src/gateway.ts';

const gateway = await runGateway(loadConfig());
process.once('SIGTERM', () => void gateway.close().then(() => process.exit()));
process.send?.('up');
