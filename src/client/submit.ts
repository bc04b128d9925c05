import { WorkflowExecutionAlreadyStartedError, type WorkflowHandle } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';

import { gatewayOf } from '../contract/credential.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { formatLabels } from '../contract/labels.ts';
import { searchAttributes } from '../contract/search-attributes.ts';
import type { JobInput, JobSpec } from '../contract/spec.ts';
import { JOB_WORKFLOW } from '../contract/status.ts';
import { copyCheckpoint } from '../store/checkpoints.ts';
import type { Db } from '../store/database.ts';
import { storePrompt, storePrompts } from '../store/prompts.ts';
import { isIdUsed } from '../store/used-ids.ts';
import { asTemporalError } from '../temporal/errors.ts';
import { checkAgent } from './check-agent.ts';
import { checkCredential } from './check-credential.ts';
import { checkModel } from './check-model.ts';
import { checkSandbox } from './check-sandbox.ts';
import type { ClientContext } from './context.ts';
import { digestSpec, sealedFor, summariseSpec } from './digest-spec.ts';

/**
 * Starts a job under an id, and resolves to whether it is new. Idempotent on the id for as long as Temporal knows its job. An id of which
 * the store has anything and Temporal nothing is never taken again: its events, usage and budget are those of the earlier job.
 * @throws `job_conflict`, `model_unpriced`, `checkpoint_not_found`, `gateway_not_configured`, `sandbox_provider_not_configured`, `credential_not_found`, `credential_needs_login`, `invalid_spec`,
 * `temporal_unreachable`, `database_unreachable`
 */
export async function submitJob(context: ClientContext, jobId: string, spec: JobSpec): Promise<boolean> {
  const { database, temporal, taskQueue } = context;
  checkAgent(spec);
  const isUsed = await isIdUsed(database.db, jobId);
  if (!isUsed) await Promise.all([checkModel(database, spec), checkCredential(context, spec), checkSandbox(context, spec)]);
  const specSha256 = digestSpec(spec);
  const labels = formatLabels(spec.labels ?? {});
  const { workflow } = await temporal.connected();
  const handle = workflow.getHandle(jobId);
  if (isUsed) {
    await requireSameJob(handle, specSha256);
    return false;
  }
  if (spec.continues !== undefined) await copyOf(context, jobId, spec, spec.continues);
  const input = await storeTexts(database.db, jobId, spec);
  try {
    await asTemporalError(
      workflow.start(JOB_WORKFLOW, {
        workflowId: jobId,
        taskQueue,
        args: [input],
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        priority: { fairnessKey: spec.tenant },
        memo: { specSha256, ...sealedFor(spec) },
        staticSummary: summariseSpec(spec),
        typedSearchAttributes: new TypedSearchAttributes([
          { key: searchAttributes.tenant, value: spec.tenant },
          { key: searchAttributes.agent, value: spec.agent },
          { key: searchAttributes.gateway, value: gatewayOf(spec.credential) },
          { key: searchAttributes.keyState, value: 'active' },
          { key: searchAttributes.spendUsd, value: 0 },
          // So that a namespace without it refuses the job now, not its first question.
          { key: searchAttributes.waiting, value: false },
          ...(labels.length === 0 ? [] : [{ key: searchAttributes.labels, value: labels }]),
        ]),
      }),
    );
    return true;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    await requireSameJob(handle, specSha256);
    return false;
  }
}

/** Stores the texts of a job that Temporal is not to hold. */
async function storeTexts(db: Db, jobId: string, { prompts: texts, instructions: text, ...spec }: JobSpec): Promise<JobInput> {
  const prompts = await storePrompts(db, jobId, texts);
  return text === undefined ? { ...spec, prompts } : { ...spec, prompts, instructions: await storePrompt(db, jobId, text) };
}

/** A copy of its own, since the other job may go on. */
async function copyOf({ database: { db } }: ClientContext, jobId: string, { tenant, agent }: JobSpec, continues: string): Promise<void> {
  if (!(await copyCheckpoint(db, continues, { jobId, tenant, agent })))
    throw new ValetkeyError('checkpoint_not_found', `The job ${continues} has no checkpoint of ${agent} for ${tenant}.`);
}

async function requireSameJob(handle: WorkflowHandle, specSha256: string): Promise<void> {
  const { workflowId } = handle;
  const job = await asTemporalError(handle.describe()).catch((error: unknown) => {
    if (ValetkeyError.is(error) && error.code === 'job_not_found') return null;
    throw error;
  });
  if (job === null)
    throw new ValetkeyError('job_conflict', `The id ${workflowId} belongs to an earlier job, which Temporal no longer knows.`);
  if (job.memo?.['specSha256'] !== specSha256) throw new ValetkeyError('job_conflict', `The job ${workflowId} is there with another spec.`);
}
