import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { onTestFinished, type TestContext } from 'vitest';

/** A folder that is gone after the test; a concurrent test hands its context over. */
export async function temporaryFolder(context: Pick<TestContext, 'onTestFinished'> = { onTestFinished }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'valetkey-test-'));
  context.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
