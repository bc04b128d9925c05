/** What a worker process imports. */
export { loadConfig, type Config } from './config/config.ts';
export { createLogger, type Logger } from './telemetry/log.ts';
export { startWorker, type Adapters, type RunningWorker, type WorkerSettings } from './worker/start.ts';
