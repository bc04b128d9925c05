import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../helpers/temporary-folder.ts';
import { valetkey } from './valetkey.ts';

test.each([['build'], ['pull']])('images %s names the engine that does not answer', async (command) => {
  const socket = `unix://${join(await temporaryFolder(), 'none.sock')}`;
  const { exitCode, stderr } = await valetkey(['images', command], { env: { DOCKER_HOST: socket } });
  expect(exitCode).toBeGreaterThan(0);
  expect(stderr).toContain('The Docker Engine cannot be reached');
  expect(stderr).toContain('DOCKER_HOST');
});
