import { setTimeout as sleep } from 'node:timers/promises';

import type { Agents } from '../agents/index.ts';
import { codeOf } from '../contract/errors.ts';
import type { RotationReport } from '../contract/rotation.ts';
import type { KeyContext } from '../keys/context.ts';
import { decideRotation } from '../keys/decide-rotation.ts';
import { renewSessionKey } from '../keys/session-key.ts';
import { providerNamed, type Sandboxes } from '../sandboxes/index.ts';
import type { SandboxOperations } from '../session/index.ts';
import { markBound } from '../store/key-transitions.ts';
import { keysOlderThan, readOverlap } from '../store/rotations.ts';
import { readAgentJob } from './agent-job.ts';
import type { Activities, RebindKeyInput } from './contracts.ts';
import { toFailure } from './failures.ts';
import { withLivenessHeartbeat } from './heartbeat.ts';
import { withStopSignals, type StopDeps, type StopSignals } from './stop-signals.ts';

/** After this time without a request the agent does not use the older key any more. */
const IDLE_GRACE_MS = 10_000;
const POLL_INTERVAL_MS = 250;
/** Jobs per run of the schedule. */
const MAX_ROTATIONS_PER_RUN = 500;

export interface RotationDeps extends StopDeps {
  keys: KeyContext;
  sandboxes: Sandboxes;
  agents: Agents;
  session: Pick<SandboxOperations, 'bindKey'>;
}

export function rotationActivities(deps: RotationDeps): Pick<Activities, 'rebindKey' | 'rotateOldKeys'> {
  const { keys, jobs, sandboxes, agents, session } = deps;
  const rebindKey = async (input: RebindKeyInput, { any: signal }: StopSignals): Promise<boolean> => {
    const { jobId, handle, agent: name, replaces } = input;
    const agent = agents[name];
    if (!agent.abilities.supportsKeyRotation) return false;
    const sandbox = providerNamed(sandboxes, handle.provider).connect(handle);
    try {
      return await withLivenessHeartbeat(async () => {
        const [{ ref, secret }, job] = await Promise.all([renewSessionKey(keys, jobId), readAgentJob(keys.db, input)]);
        await session.bindKey(sandbox, agent, secret, job, signal);
        await markBound(keys.db, { ref, jobId }, keys.leaseMs, [{ source: `key.bound:${ref}`, body: { type: 'key.bound', ref } }]);
        while (decideRotation(await readOverlap(keys.db, replaces, ref), IDLE_GRACE_MS).action === 'wait')
          await sleep(POLL_INTERVAL_MS, undefined, { signal });
        return true;
      });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw toFailure(error, ['gateway_unreachable', 'database_unreachable', 'root_key_missing', 'sandbox_provider_unreachable']);
    } finally {
      await sandbox.close();
    }
  };
  return {
    rebindKey: async (input) => withStopSignals(deps, input.jobId, (signals) => rebindKey(input, signals)),

    rotateOldKeys: async ({ olderThanMs }) => {
      const report: RotationReport = { scanned: 0, rotated: [], errors: [] };
      try {
        const jobIds = await keysOlderThan(keys.db, keys.owner, olderThanMs, MAX_ROTATIONS_PER_RUN);
        report.scanned = jobIds.length;
        for (const jobId of jobIds) {
          try {
            await jobs.rotate(jobId);
            report.rotated.push(jobId);
          } catch (error) {
            report.errors.push({ jobId, code: codeOf(error) });
          }
        }
      } catch (error) {
        report.errors.push({ jobId: '', code: codeOf(error) });
      }
      return report;
    },
  };
}
