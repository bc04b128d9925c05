import { Context } from '@temporalio/activity';

import { ValetkeyError } from '../job/errors.ts';
import type { ArtifactInfo } from '../job/result.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { Session } from '../session/index.ts';
import { storeArtifact } from '../store/artifacts.ts';
import type { Database } from '../store/database.ts';
import { appendEvents } from '../store/events.ts';
import type { Activities, StartedSandbox } from './contracts.ts';
import { toFailure } from './failures.ts';
import { withHeartbeat } from './heartbeat.ts';

/** A sandbox that does not give its work out in this time is ended without it. */
const TAKE_OUT_MS = 30_000;

export interface SandboxDeps {
  database: Database;
  sandboxes: Sandboxes;
  session: Pick<Session, 'putWorkspace' | 'takePatch'>;
}

export function sandboxActivities(deps: SandboxDeps): Pick<Activities, 'startSandbox' | 'stopSandbox'> {
  const { sandboxes, session } = deps;
  const { db } = deps.database;
  return {
    startSandbox: async ({ jobId, tenant, agent, model, sandbox: { provider, isolation }, workspace }) => {
      const { cancellationSignal } = Context.current();
      try {
        return await withHeartbeat(
          () => null,
          async () => {
            const handle = await sandboxes[provider].start({ jobId, agent, isolation }, cancellationSignal);
            const sandbox = sandboxes[provider].connect(handle);
            try {
              const startCommit = await session.putWorkspace(sandbox, workspace, cancellationSignal);
              await appendEvents(db, jobId, [
                { source: 'job.started', body: { type: 'job.started', tenant, agent, model } },
                { source: `sandbox.started:${handle.id}`, body: { type: 'sandbox.started', sandbox: handle.id, isolation } },
              ]);
              return { handle, startCommit };
            } finally {
              await sandbox.close();
            }
          },
        );
      } catch (error) {
        if (cancellationSignal.aborted) throw cancellationSignal.reason;
        throw toFailure(error, ['sandbox_start_failed', 'sandbox_lost', 'database_unreachable']);
      }
    },

    stopSandbox: async ({ jobId, provider, started }) => {
      try {
        const artifacts = started === null ? [] : await takeOut(deps, jobId, started);
        await sandboxes[provider].stop(jobId);
        if (started !== null) {
          const sandbox = started.handle.id;
          await appendEvents(db, jobId, [{ source: `sandbox.stopped:${sandbox}`, body: { type: 'sandbox.stopped', sandbox } }]);
        }
        return artifacts;
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}

/** What could not be had is told by a warning among the events: it must not keep the sandbox from its end. */
async function takeOut(
  { database: { db }, sandboxes, session }: SandboxDeps,
  jobId: string,
  { handle, startCommit }: StartedSandbox,
): Promise<ArtifactInfo[]> {
  const sandbox = sandboxes[handle.provider].connect(handle);
  try {
    const patch = await session.takePatch(sandbox, startCommit, AbortSignal.timeout(TAKE_OUT_MS));
    return patch.length === 0 ? [] : [await storeArtifact(db, jobId, 'patch', patch)];
  } catch (error) {
    if (ValetkeyError.is(error) && error.code === 'database_unreachable') throw error;
    const { code, message } = ValetkeyError.is(error)
      ? error
      : new ValetkeyError('workspace_failed', 'the patch could not be taken out of the sandbox');
    await appendEvents(db, jobId, [{ source: `patch:${handle.id}`, body: { type: 'warning', code, message } }]);
    return [];
  } finally {
    await sandbox.close();
  }
}
