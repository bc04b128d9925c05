import { Runtime } from '@temporalio/worker';

import type { Sandboxes } from '../sandboxes/index.ts';

/** Logs once what jobs would fail with on this host, before the first one does. Throws nothing. */
export async function reportHostProblems(sandboxes: Sandboxes): Promise<void> {
  for (const provider of Object.values(sandboxes))
    for (const { code, message, hint } of (await provider.check?.()) ?? [])
      Runtime.instance().logger.warn('Some jobs cannot run on this host.', { code, problem: message, hint });
}
