import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: existsSync('test/global-setup.ts') ? ['test/global-setup.ts'] : [],
    // A process a file: the tests start servers, and Temporal's native runtime is one a process.
    pool: 'forks',
    // Each file brings load of its own (a worker, agents) and waits a third of its time: more at once would only slow all of them down.
    maxWorkers: 3,
    // The tests start our command line a hundred times: each takes a third less with what the first one compiled.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url)) },
    // Guards against what hangs, on a machine that may be busy: what a test holds to a time, it says itself.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    // At its end all that Temporal knows is looked through for secrets: some 6 ms a workflow.
    teardownTimeout: 120_000,
  },
});
