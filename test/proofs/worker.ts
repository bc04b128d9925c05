/**
 * A worker process to be killed, by its supervisor or by itself. Its first argument is the folder of the plans; with the second,
 * `statements`, what it asks of Postgres is among the points. Standard
 * output says when it is ready, and it ends with whoever holds its standard input.
 */
import { loadConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { startWorker } from '../../src/worker/start.ts';
import { killSwitch } from './kill-switch.ts';

const [, , folder = '', mode] = process.argv;
const config = loadConfig();
process.stdin.on('end', () => process.exit()).resume();
const stopped = new Promise<void>((resolve) => void process.once('SIGTERM', () => resolve()));
const worker = await startWorker({
  config,
  logger: createLogger({ level: config.logLevel }),
  adapt: killSwitch(folder, { statements: mode === 'statements' }),
});
process.stdout.write('ready\n');
await Promise.race([stopped, worker.done]);
await worker.shutdown();
process.exit();
