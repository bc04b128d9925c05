import type { WorkflowHandle } from '@temporalio/client';

import { ValetkeyError } from '../contract/errors.ts';
import { invalidSpec } from '../contract/invalid-spec.ts';
import { searchAttributes } from '../contract/search-attributes.ts';
import { readJobTenant } from '../store/job-tenants.ts';
import { asTemporalError } from '../temporal/errors.ts';
import { checkJobId } from './check.ts';
import type { ClientContext } from './context.ts';

/**
 * Checks the id of a job, and for a client of one tenant that the job is that tenant's: another's does not exist for it.
 * @throws `invalid_spec`, `job_not_found`, `temporal_unreachable`, `database_unreachable`
 */
export async function requireJob(context: ClientContext, jobId: unknown): Promise<string> {
  const id = checkJobId(jobId);
  if (context.tenant !== null && (await readTenant(context, id)) !== context.tenant)
    throw new ValetkeyError('job_not_found', `There is no job ${id}.`);
  return id;
}

/** Whose a job is. The ledger never forgets it, and has it from the job's first key on; Temporal has it from the start. */
async function readTenant({ database, temporal }: ClientContext, jobId: string): Promise<string | null> {
  const recorded = await readJobTenant(database.db, jobId);
  if (recorded !== null) return recorded;
  const { workflow } = await temporal.connected();
  const handle: WorkflowHandle = workflow.getHandle(jobId);
  const { typedSearchAttributes } = await asTemporalError(handle.describe());
  return typedSearchAttributes.get(searchAttributes.tenant) ?? null;
}

/** The tenant that a call is about: the client's own, where it is a client of one. @throws `invalid_spec` for another one */
export function scopedTenant({ tenant }: ClientContext, named: string | undefined): string | undefined {
  if (tenant === null || named === tenant) return named;
  if (named === undefined) return tenant;
  throw invalidSpec([{ path: 'tenant', message: `must be ${tenant}: it is the tenant of this client` }]);
}
