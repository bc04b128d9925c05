import type { WorkflowClient } from '@temporalio/client';

import { JOB_WORKFLOW } from '../contract/status.ts';
import type { KeyringUse } from '../keys/decide-prune.ts';
import { readSealKeyId } from '../secrets/seal.ts';
import { openKeysByRootKey, openUpstreamKeys } from '../store/key-list.ts';
import { listCredentials } from '../store/upstream-credentials.ts';
import { asTemporalError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';

/**
 * What depends on the keys of key rings, in the whole store and the whole namespace, whoever runs it. Jobs are counted by Temporal's
 * visibility, which lags by some milliseconds. Throws `temporal_unreachable`, `database_unreachable`.
 */
export async function readKeyringUse({ temporal, database: { db } }: ClientContext): Promise<KeyringUse> {
  const { workflow } = await temporal.connected();
  const [activeKeys, upstreamKeys, credentials, runningJobs] = await Promise.all([
    openKeysByRootKey(db),
    openUpstreamKeys(db),
    listCredentials(db),
    asTemporalError(sealingKeysOfRunningJobs(workflow)),
  ]);
  return {
    activeKeys,
    runningJobs: countEach(runningJobs),
    gatewayKeys: countEach(upstreamKeys.map(readSealKeyId)),
    upstreamCredentials: countEach(credentials.map(({ sealed }) => readSealKeyId(sealed))),
  };
}

async function sealingKeysOfRunningJobs(workflow: WorkflowClient): Promise<unknown[]> {
  const query = `WorkflowType = '${JOB_WORKFLOW}' AND ExecutionStatus = 'Running'`;
  const kids: unknown[] = [];
  for await (const { memo } of workflow.list({ query })) kids.push(...[memo?.['sealedFor']].flat());
  return kids;
}

function countEach(ids: readonly unknown[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const id of ids) if (typeof id === 'string') counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}
