import { randomUUID } from 'node:crypto';

import { WorkflowFailedError } from '@temporalio/client';

import { ValetkeyError } from '../contract/errors.ts';
import { MAX_FAILED, REVOKE_WORKFLOW, type RevokeReport, type RevokeTarget } from '../contract/revocation.ts';
import { blockTenant } from '../store/blocked-tenants.ts';
import { endingKeys, hasKeys } from '../store/key-ends.ts';
import { beginEnds } from '../store/key-transitions.ts';
import { asTemporalError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';
import { findNearestTenant } from './nearest-tenant.ts';

/** ms. What is not over by then is pending. */
const WAIT_MS = 15_000;

/**
 * Revokes the keys of a target: on record at once, which needs nothing but Postgres, then by the workers. Blocks a tenant first: a mint
 * whose intent the second statement does not see finds the block before it makes its key active.
 * Idempotent. Throws `no_such_key` for a job or a ref without any key, `database_unreachable`.
 */
export async function revoke(context: ClientContext, target: RevokeTarget): Promise<RevokeReport> {
  const { database, owner } = context;
  const { db } = database;
  if ('tenant' in target) await blockTenant(db, target.tenant);
  const begun = await beginEnds(db, owner, target);
  if (begun.length === 0 && !('tenant' in target) && !(await hasKeys(db, owner, target))) throw nothingToRevoke(target);
  if (begun.length > 0) await endByWorkers(context, target);
  const open = new Map((await endingKeys(db, owner, target)).map((key) => [key.ref, key]));
  const pending = begun.flatMap(({ ref }) => open.get(ref) ?? []);
  return {
    disabled: begun.filter(({ isNew }) => isNew).length,
    ended: begun.length - pending.length,
    pending: pending.length,
    unknownTenant: 'tenant' in target && begun.length === 0 ? await findNearestTenant(db, target.tenant) : null,
    failed: pending.flatMap(({ ref, lastError: code }) => (code === null ? [] : [{ ref, code }])).slice(0, MAX_FAILED),
  };
}

/** Resolves when they are done, and when it takes too long or Temporal is not there: the keys are disabled, and the sweep ends them. */
async function endByWorkers({ temporal, taskQueue, deployment }: ClientContext, target: RevokeTarget): Promise<void> {
  try {
    const { connection, workflow } = await temporal.connected();
    const run = async (): Promise<unknown> =>
      workflow.execute(REVOKE_WORKFLOW, {
        workflowId: `valetkey-${deployment}-revoke-${randomUUID()}`,
        taskQueue,
        args: [target],
        staticSummary: 'revocation of keys',
      });
    await asTemporalError(connection.withDeadline(Date.now() + WAIT_MS, run));
  } catch (error) {
    const isLate = ValetkeyError.is(error) && error.code === 'temporal_unreachable';
    if (!isLate && !(error instanceof WorkflowFailedError)) throw error;
  }
}

function nothingToRevoke(target: Exclude<RevokeTarget, { tenant: string }>): ValetkeyError {
  const what = 'ref' in target ? `There is no key ${target.ref}.` : `The job ${target.jobId} has no key.`;
  return new ValetkeyError('no_such_key', what);
}
