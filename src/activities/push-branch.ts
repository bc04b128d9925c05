import { activityInfo } from '@temporalio/activity';

import { ValetkeyError } from '../contract/errors.ts';
import type { PushReport } from '../contract/result.ts';
import type { Unsealer } from '../secrets/unsealer.ts';
import { readArtifact } from '../store/artifacts.ts';
import type { Database } from '../store/database.ts';
import { appendEvents } from '../store/events.ts';
import type { Workspaces } from '../workspace/index.ts';
import type { Activities, PushBranchInput } from './contracts.ts';
import { toFailure } from './failures.ts';
import { withLivenessHeartbeat } from './heartbeat.ts';

/** Attempts at a server that fails or cannot be reached: some two minutes. */
const MAX_PUSH_ATTEMPTS = 6;

export interface PushDeps {
  database: Pick<Database, 'db'>;
  workspaces: Pick<Workspaces, 'pushPatch'>;
  unsealer: Unsealer;
}

export function branchActivities(deps: PushDeps): Pick<Activities, 'pushBranch'> {
  const { db } = deps.database;
  return {
    pushBranch: async (input) => {
      const { jobId, branch } = input;
      try {
        return await withLivenessHeartbeat(async () => {
          const report = await push(deps, input);
          const { commit, failure } = report;
          if (commit !== null)
            await appendEvents(db, jobId, [{ source: 'branch.pushed', body: { type: 'branch.pushed', branch, commit } }]);
          if (failure !== null) {
            const { code, message } = failure;
            await appendEvents(db, jobId, [{ source: 'branch.not-pushed', body: { type: 'warning', code, message } }]);
          }
          return report;
        });
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}

/** Throws what another attempt may fix. */
async function push({ database: { db }, workspaces, unsealer }: PushDeps, input: PushBranchInput): Promise<PushReport> {
  const { jobId, tenant, branch, token: sealed, ...target } = input;
  try {
    const patch = await readArtifact(db, jobId, 'patch');
    if (patch === null) throw new ValetkeyError('artifact_not_found', 'The patch of the job is not stored any more.');
    const gitToken = sealed === undefined ? undefined : await unsealer.open(sealed, { tenant, purpose: 'git-token' });
    const commit = await workspaces.pushPatch(patch.content, { ...target, branch, gitToken, message: `Work of job ${jobId}` });
    return { branch, commit, failure: null };
  } catch (error) {
    if (!ValetkeyError.is(error) || error.code === 'database_unreachable') throw error;
    if (error.retryable && activityInfo().attempt < MAX_PUSH_ATTEMPTS) throw error;
    return { branch, commit: null, failure: { code: error.code, message: `The branch ${branch} was not pushed: ${error.message}` } };
  }
}
