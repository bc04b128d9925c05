import { randomBytes, randomUUID } from 'node:crypto';

import type { ScriptedModel } from '../../src/dev/scripted-model/server.ts';
import type { Stack } from '../../src/dev/stack.ts';

export interface ProcessParts {
  databaseUrl: string;
  temporal: Stack['temporal'];
  stateDir: string;
  model: Pick<ScriptedModel, 'baseUrl'>;
  /** Of the model. */
  credential: string;
}

/** What a worker and a gateway of their own are told: parts that are there, a task queue and a root key of their own. */
export function processEnvironment({ databaseUrl, temporal, stateDir, model, credential }: ProcessParts): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_STATE_DIR: stateDir,
    VALETKEY_ROOT_KEY: randomBytes(32).toString('base64'),
    VALETKEY_TASK_QUEUE: `test-${randomUUID()}`,
    VALETKEY_GATEWAY_PORT: '0',
    VALETKEY_SWEEP_INTERVAL: '1h',
    VALETKEY_INVENTORY_INTERVAL: '1h',
    VALETKEY_ANTHROPIC_BASE_URL: model.baseUrl,
    VALETKEY_OPENAI_BASE_URL: model.baseUrl,
    ANTHROPIC_API_KEY: credential,
    OPENAI_API_KEY: credential,
  };
}
