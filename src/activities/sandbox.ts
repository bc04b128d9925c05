import { activityInfo } from '@temporalio/activity';

import { FAILURES } from '../contract/errors.ts';
import { providerNamed } from '../sandboxes/index.ts';
import { openToolSecrets } from '../secrets/tool-secrets.ts';
import type { Unsealer } from '../secrets/unsealer.ts';
import type { SandboxOperations } from '../session/index.ts';
import { listArtifacts, storeArtifact } from '../store/artifacts.ts';
import { findCheckpoint, readCheckpointPart } from '../store/checkpoints.ts';
import { appendEvents, type SourcedEvent } from '../store/events.ts';
import { giveUpSandboxes, noteSandbox } from '../store/sandboxes.ts';
import { readTurnMessage } from '../store/turns.ts';
import { readStart } from '../store/workspace-starts.ts';
import type { Workspaces } from '../workspace/index.ts';
import { cleanUpClosedJob, type CleanUpDeps } from './clean-up-closed-job.ts';
import { collectArtifacts, type CollectDeps } from './collect-artifacts.ts';
import type { Activities, StartedSandbox, StartSandboxInput } from './contracts.ts';
import { toFailure } from './failures.ts';
import { withLivenessHeartbeat } from './heartbeat.ts';
import { startLimitWatch } from './limit-watch.ts';
import { prepareWorkspace, requireFolders } from './prepare-workspace.ts';
import { withStopSignals, type StopDeps, type StopSignals } from './stop-signals.ts';

const NOTHING = Buffer.alloc(0);
/** A sandbox ends by itself this long after its job's deadline: its artifacts are collected before. */
const SANDBOX_SLACK_MS = 15 * 60_000;

export interface SandboxDeps extends CollectDeps, CleanUpDeps, StopDeps {
  session: Pick<SandboxOperations, 'putSecrets' | 'warmUp'>;
  workspaces: Workspaces;
  unsealer: Unsealer;
}

export function sandboxActivities(
  deps: SandboxDeps,
): Pick<Activities, 'startSandbox' | 'prepareWorkspace' | 'stopSandbox' | 'abandonSandbox'> {
  const { sandboxes, session, workspaces, unsealer, keys } = deps;
  const { db } = deps.database;
  const startSandbox = async (input: StartSandboxInput, { any: stopped, jobClosed }: StopSignals): Promise<StartedSandbox> => {
    const {
      jobId,
      tenant,
      agent,
      model,
      sandbox: { provider: providerName, isolation, limits, egress, env, secrets: sealedSecrets },
      workspace,
      startCommit,
      deadline,
    } = input;
    try {
      const provider = providerNamed(sandboxes, providerName);
      return await withLivenessHeartbeat(async () => {
        const { gitToken: sealed, push } = workspace;
        const gitToken = sealed === undefined ? undefined : await unsealer.open(sealed, { tenant, purpose: 'git-token' });
        // A token that does not open fails the job before its work, not after.
        if (push?.token !== undefined) await unsealer.open(push.token, { tenant, purpose: 'git-token' });
        const secrets = await openToolSecrets(unsealer, sealedSecrets, tenant);
        const expiresAt = deadline === undefined ? undefined : new Date(Date.parse(deadline) + SANDBOX_SLACK_MS);
        const request = { jobId, agent, isolation, limits, egress, env, secretNames: [...secrets.keys()], expiresAt };
        if (input.replaces !== undefined) await provider.stop(jobId, input.replaces);
        const handle = await provider.start(request, stopped);
        // One that any worker can drive is noted with the queue that all workers share.
        await noteSandbox(db, keys.owner, { jobId, id: handle.id }, handle.hostTaskQueue ?? activityInfo().taskQueue);
        const folders = await requireFolders(sandboxes, handle, { withWorkspace: false });
        const source = startCommit === undefined ? workspace : { startCommit, content: readStart(db, { tenant, startCommit }) };
        const sandbox = provider.connect(handle);
        const watch = startLimitWatch(db, sandboxes, jobId, handle);
        const signal = AbortSignal.any([stopped, watch.exceeded]);
        try {
          await session.putSecrets(sandbox, secrets, signal);
          const [start] = await Promise.all([
            workspaces.put(sandbox, source, folders.workerFolder, { gitToken, signal }),
            session.warmUp(sandbox, jobId, signal),
          ]);
          await folders.save();
          await appendEvents(db, jobId, [
            { source: 'job.started', body: { type: 'job.started', tenant, agent, model } },
            { source: `sandbox.started:${handle.id}`, body: { type: 'sandbox.started', sandbox: handle.id, isolation } },
            ...start.warnings.map((message): SourcedEvent => ({
              source: `workspace:${message}`,
              body: { type: 'warning', code: 'workspace_incomplete', message },
            })),
          ]);
          return { handle, startCommit: start.startCommit };
        } catch (error) {
          // The error of the aborted call does not name the limit, but the watch's reason does.
          throw watch.exceeded.aborted ? watch.exceeded.reason : error;
        } finally {
          await watch.stop();
          await sandbox.close();
          await folders.close();
        }
      });
    } catch (error) {
      if (jobClosed.aborted) await cleanUpClosedJob(deps, sandboxes[providerName], jobId);
      if (stopped.aborted) throw stopped.reason;
      throw toFailure(error, ['sandbox_start_failed', 'sandbox_lost', 'sandbox_provider_unreachable', 'database_unreachable']);
    }
  };
  return {
    startSandbox: async (input) => withStopSignals(deps, input.jobId, (signals) => startSandbox(input, signals)),

    prepareWorkspace: async (input) =>
      withStopSignals(deps, input.jobId, async ({ any: signal, jobClosed }) => {
        try {
          await withLivenessHeartbeat(() => prepareWorkspace(deps, input, signal));
        } catch (error) {
          if (jobClosed.aborted) await cleanUpClosedJob(deps, sandboxes[input.started.handle.provider], input.jobId);
          if (signal.aborted) throw signal.reason;
          throw toFailure(error, ['database_unreachable', 'sandbox_provider_unreachable']);
        }
      }),

    stopSandbox: async (input) => {
      const { jobId, provider, started } = input;
      try {
        return await withLivenessHeartbeat(async () => {
          const stopped = await collectArtifacts(deps, started, input);
          await providerNamed(sandboxes, provider).stop(jobId);
          // An earlier attempt to start the sandbox may have left one on another host.
          await giveUpSandboxes(db, { jobId });
          if (started !== null) {
            const sandbox = started.handle.id;
            await appendEvents(db, jobId, [{ source: `sandbox.stopped:${sandbox}`, body: { type: 'sandbox.stopped', sandbox } }]);
          }
          return stopped;
        });
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },

    abandonSandbox: async ({ jobId, sandbox: id, lastTurn }) => {
      try {
        await giveUpSandboxes(db, { jobId, id });
        const message = await readTurnMessage(db, jobId, lastTurn);
        if (message !== '') await storeArtifact(db, jobId, 'message', Buffer.from(message));
        const checkpoint = await findCheckpoint(db, jobId, lastTurn);
        const patch = checkpoint === null ? NOTHING : await readCheckpointPart(db, checkpoint, 'patch');
        if (patch.length > 0) await storeArtifact(db, jobId, 'patch', patch);
        const { hint } = FAILURES.sandbox_lost;
        const body = {
          type: 'warning',
          code: 'sandbox_lost',
          message: `The host of the sandbox is lost, and with it the agent’s work. ${hint}`,
        } as const;
        await appendEvents(db, jobId, [{ source: `sandbox.lost:${id}`, body }]);
        return await listArtifacts(db, jobId);
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
