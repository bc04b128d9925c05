import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { expect, test } from 'vitest';

const PACKAGES = /"\.\/node_modules\/((?:@[^/"]+\/)?[^/"]+)\/[^"]+"/g;

test('the bundle of the workflows holds Temporal’s packages and ms: what keeps state, as zod does, breaks where modules are shared', async () => {
  const workflowsPath = fileURLToPath(new URL('../../src/workflows/index.ts', import.meta.url));
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
  const packages = new Set(
    Array.from(code.matchAll(PACKAGES), ([, name]) => String(name)).filter((name) => !name.startsWith('@temporalio/')),
  );
  expect(packages).toEqual(new Set(['long', 'ms', 'nexus-rpc']));
});
