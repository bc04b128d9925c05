import { join } from 'node:path';

import { execa } from 'execa';

import type { Stack } from '../../src/dev/stack.ts';
import { root } from '../repository/root.ts';

/** Starts an example as a process of its own, with the variables that `valetkey dev` prints. It never throws. */
export function example({ config, temporal }: Stack, file: string, args: string[] = []) {
  return execa(process.execPath, ['--import', join(root, 'test/examples/from-source.ts'), join(root, 'examples', file), ...args], {
    extendEnv: false,
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      DATABASE_URL: config.databaseUrl,
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      VALETKEY_TASK_QUEUE: config.taskQueue,
      PORT: '0',
    },
    reject: false,
  });
}
