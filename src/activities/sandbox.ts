import { Context } from '@temporalio/activity';

import type { KeyRing } from '../secrets/key-ring.ts';
import { openToolSecrets } from '../secrets/tool-secrets.ts';
import type { Session } from '../session/index.ts';
import { appendEvents } from '../store/events.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';
import { beating } from './heartbeat.ts';
import { isJobGone, lastGasp, type LastGaspDeps } from './last-gasp.ts';
import { takeOut, type TakeOutDeps } from './take-out.ts';

export interface SandboxDeps extends TakeOutDeps, LastGaspDeps {
  session: Pick<Session, 'putWorkspace' | 'putSecrets' | 'warmUp' | 'takePatch' | 'takeFile'>;
  keyRing: KeyRing;
}

export function sandboxActivities(deps: SandboxDeps): Pick<Activities, 'startSandbox' | 'stopSandbox'> {
  const { sandboxes, session, keyRing } = deps;
  const { db } = deps.database;
  return {
    startSandbox: async ({ jobId, tenant, agent, model, sandbox: wanted, workspace }) => {
      const { provider, isolation, egress, env, secrets: sealedSecrets } = wanted;
      const { cancellationSignal } = Context.current();
      try {
        return await beating(async () => {
          const { gitToken: sealed } = workspace;
          const gitToken = sealed === undefined ? undefined : await keyRing.open(sealed, { tenant, purpose: 'git-token' });
          const secrets = await openToolSecrets(keyRing, sealedSecrets, tenant);
          const request = { jobId, agent, isolation, egress, env, secretNames: [...secrets.keys()] };
          const handle = await sandboxes[provider].start(request, cancellationSignal);
          const sandbox = sandboxes[provider].connect(handle);
          try {
            await session.putSecrets(sandbox, secrets, cancellationSignal);
            const [startCommit] = await Promise.all([
              session.putWorkspace(sandbox, workspace, { gitToken, signal: cancellationSignal }),
              session.warmUp(sandbox, jobId, cancellationSignal),
            ]);
            await appendEvents(db, jobId, [
              { source: 'job.started', body: { type: 'job.started', tenant, agent, model } },
              { source: `sandbox.started:${handle.id}`, body: { type: 'sandbox.started', sandbox: handle.id, isolation } },
            ]);
            return { handle, startCommit };
          } finally {
            await sandbox.close();
          }
        });
      } catch (error) {
        if (cancellationSignal.aborted) {
          const { notFound } = Context.current().cancellationDetails ?? {};
          if (notFound === true && (await isJobGone(deps, jobId))) await lastGasp(deps, sandboxes[provider], jobId);
          throw cancellationSignal.reason;
        }
        throw toFailure(error, ['sandbox_start_failed', 'sandbox_lost', 'database_unreachable']);
      }
    },

    stopSandbox: async (input) => {
      const { jobId, provider, started } = input;
      try {
        return await beating(async () => {
          const artifacts = started === null ? [] : await takeOut(deps, started, input);
          await sandboxes[provider].stop(jobId);
          if (started !== null) {
            const sandbox = started.handle.id;
            await appendEvents(db, jobId, [{ source: `sandbox.stopped:${sandbox}`, body: { type: 'sandbox.stopped', sandbox } }]);
          }
          return artifacts;
        });
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
