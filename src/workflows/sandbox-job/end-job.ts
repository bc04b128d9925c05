import { ApplicationFailure, CancelledFailure } from '@temporalio/workflow';

import type { JobIdentity } from '../../activities/contracts.ts';
import { FAILURES } from '../../contract/errors.ts';
import type { PushReport, SettledJob } from '../../contract/result.ts';
import type { AgentName } from '../../contract/spec.ts';
import { cleanupActivities, settleLocally } from '../activities.ts';
import type { Rotation } from '../rotation.ts';
import type { Conversation } from './conversation.ts';
import type { Ending } from './decide-outcome.ts';
import type { JobKeys } from './job-keys.ts';
import type { JobSandbox, StoppedJobSandbox } from './job-sandbox.ts';
import type { ProgressReporter } from './progress-reporter.ts';
import type { TurnLoop } from './turn-loop.ts';

/** The parts of a job that end with it. */
export interface JobParts {
  job: JobIdentity & { agent: AgentName; leaseId: string; startedAtMs: number };
  conversation: Conversation;
  rotation: Rotation;
  keys: JobKeys;
  sandbox: JobSandbox;
  turns: TurnLoop;
  progress: ProgressReporter;
}

/** Ends the key and the sandbox of a job, however long it takes, pushes its work where it asks for that, then settles its spend. Runs in a scope that nothing cancels. */
export async function endJob(
  { job, conversation, rotation, keys, sandbox, turns, progress }: JobParts,
  ending: Ending,
): Promise<SettledJob> {
  conversation.close();
  const rotating = rotation.stop();
  if (rotating !== null) await rotating;
  progress.report({ phase: 'ending', ...ending, question: null });
  const stopAndPush = async (): Promise<StoppedJobSandbox & { push: PushReport | null }> => {
    const left = await sandbox.stop(turns.endedTurns);
    return { ...left, push: await sandbox.push(left, ending) };
  };
  const [stopped] = await Promise.all([stopAndPush(), keys.revoke()]);
  progress.report({ phase: 'settling' });
  const { startedAtMs, ...identity } = job;
  const ended = { ...identity, ...ending, turns: turns.endedTurns, ...stopped, startedAt: new Date(startedAtMs).toISOString() };
  const summary = 'settle the usage';
  const result = await settleLocally(summary)
    .settleUsage(ended)
    .catch(() => cleanupActivities(summary).settleUsage(ended));
  progress.reportSettled(result);
  return result;
}

/** Closes the workflow as its job ended. Throws a failure whose type is the job's code for any outcome but `completed`. */
export function closeAs(result: SettledJob, { outcome, failure }: Ending): SettledJob {
  if (failure === null) return result;
  if (outcome === 'cancelled') throw new CancelledFailure(failure.message);
  const { code: type, message } = failure;
  throw ApplicationFailure.create({ type, message, nonRetryable: true, details: [{ hint: FAILURES[type].hint }] });
}
