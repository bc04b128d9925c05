import { log } from '@temporalio/activity';

import { codeOf } from '../contract/errors.ts';
import type { KeyContext } from '../keys/context.ts';
import { endKeysOfJob } from '../keys/end-key.ts';
import type { SandboxProvider } from '../sandboxes/sandbox.ts';
import { giveUpSandboxes } from '../store/sandboxes.ts';

export interface CleanUpDeps {
  keys: KeyContext;
}

/**
 * Ends the keys and the sandbox of a job that closed without its own cleanup. Without a `provider` this worker has started none. Throws nothing:
 * the sweep ends what remains.
 */
export async function cleanUpClosedJob(
  { keys }: CleanUpDeps,
  provider: Pick<SandboxProvider, 'stop'> | undefined,
  jobId: string,
): Promise<void> {
  const stopSandbox = async (): Promise<void> => {
    await provider?.stop(jobId);
    await giveUpSandboxes(keys.db, { jobId });
  };
  const ends = await Promise.allSettled([endKeysOfJob(keys, jobId, 'terminated'), stopSandbox()]);
  for (const end of ends)
    if (end.status === 'rejected')
      log.warn('the cleanup of a closed job failed in part; the sweep continues it', { code: codeOf(end.reason) });
}
