import { expect, test } from 'vitest';

import { createSandboxes, providerNamed } from '../../src/sandboxes/index.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { createRig } from './rig.ts';

const stack = useStack();

test('a job whose provider no worker is configured with is refused by submit', async () => {
  const submitted = stack().client.jobs.submit(jobSpec({ sandbox: { provider: 'docker' } }));
  await expect(submitted).rejects.toMatchObject({
    code: 'sandbox_provider_not_configured',
    message: 'No worker is configured with Docker.',
  });
});

test('a step of such a job fails by name on a worker that is not configured with its provider', async () => {
  const rig = await createRig();
  const sandboxes = createSandboxes({ local: rig.options });
  expect(providerNamed(sandboxes, 'local').name).toBe('local');
  expect(() => providerNamed(sandboxes, 'docker')).toThrow('This worker is not configured with Docker.');
  await rig.close();
});
