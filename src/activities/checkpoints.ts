import { log } from '@temporalio/activity';

import type { Agents } from '../agents/index.ts';
import { codeOf, ValetkeyError } from '../contract/errors.ts';
import { providerNamed, type Sandboxes } from '../sandboxes/index.ts';
import type { HostFolders } from '../sandboxes/sandbox.ts';
import { sessionStateSchema, type SessionState } from '../session/turn/state.ts';
import { findCheckpoint, readCheckpointPart, storeCheckpoint } from '../store/checkpoints.ts';
import type { Database } from '../store/database.ts';
import { appendEvents, hasBegunTurn } from '../store/events.ts';
import { readOpenQuestions } from '../store/questions.ts';
import { giveUpSandboxes } from '../store/sandboxes.ts';
import { storeStart } from '../store/workspace-starts.ts';
import type { Workspaces } from '../workspace/index.ts';
import type { Activities, RunSessionInput } from './contracts.ts';
import { decideRestore } from './decide-restore.ts';
import { toFailure } from './failures.ts';
import { withLivenessHeartbeat } from './heartbeat.ts';
import { requireFolders } from './prepare-workspace.ts';
import { withStopSignals, type StopDeps } from './stop-signals.ts';

/** A checkpoint that takes longer is given up: the turn has ended, and its result waits. */
const CHECKPOINT_TIMEOUT_MS = 2 * 60_000;
/** The names in a warning. */
const MAX_NAMED = 10;

const INCOMPLETE = 'The checkpoint does not hold all that the agent had changed: see the warning of the turn after which it was stored.';

export interface CheckpointDeps extends StopDeps {
  database: Pick<Database, 'db'>;
  sandboxes: Sandboxes;
  agents: Agents;
  workspaces: Workspaces;
}

type CheckpointActivity = 'loadCheckpoint' | 'restoreCheckpoint' | 'storeCheckpoint' | 'giveUpSandbox';

export function checkpointActivities(deps: CheckpointDeps): Pick<Activities, CheckpointActivity> {
  const { sandboxes, workspaces } = deps;
  const { db } = deps.database;
  return {
    loadCheckpoint: async ({ jobId }) => {
      try {
        const checkpoint = await findCheckpoint(db, jobId, 0);
        if (checkpoint === null) throw new ValetkeyError('checkpoint_not_found', 'The checkpoint to continue from is not stored.');
        // This job numbers its own turns from 1.
        const session = { ...sessionStateSchema.parse(checkpoint.session), turn: 0, running: null, pending: null };
        return { startCommit: checkpoint.startCommit, session };
      } catch (error) {
        throw toFailure(error, ['database_unreachable']);
      }
    },

    restoreCheckpoint: async ({ jobId, started: { handle, startCommit }, turn }) => {
      try {
        await withLivenessHeartbeat(async () => {
          const checkpoint = await findCheckpoint(db, jobId, turn);
          if (checkpoint !== null) {
            const read = async (part: 'patch' | 'commits' | 'session'): Promise<Buffer> => readCheckpointPart(db, checkpoint, part);
            const [patch, commits, session] = await Promise.all([read('patch'), read('commits'), read('session')]);
            const sandbox = providerNamed(sandboxes, handle.provider).connect(handle);
            try {
              await workspaces.restoreInside(sandbox, { startCommit, patch, commits, session });
            } finally {
              await sandbox.close();
            }
          }
          const body = { type: 'checkpoint.restored', turn, sandbox: handle.id } as const;
          const isWhole = checkpoint === null || checkpoint.complete;
          await appendEvents(db, jobId, [
            { source: `checkpoint.restored:${handle.id}`, body },
            ...(isWhole ? [] : [{ source: `checkpoint.incomplete:${handle.id}`, body: warningOf(INCOMPLETE) }]),
          ]);
        });
      } catch (error) {
        throw toFailure(error, ['database_unreachable', 'sandbox_provider_unreachable']);
      }
    },

    storeCheckpoint: async (input) =>
      withStopSignals(deps, input.jobId, async ({ any: signal }) => {
        try {
          const { jobId, agent, turn, question, session } = input;
          if (!deps.agents[agent].abilities.loadsSession) return false;
          if ((await readOpenQuestions(db, [jobId])).some(({ id }) => id !== question.id)) return false;
          const source = `checkpoint:${turn}:${question.id}`;
          return await withLivenessHeartbeat(async () => (await takeCheckpoint(deps, input, { source, session }, signal)) === true);
        } catch (error) {
          if (signal.aborted) throw signal.reason;
          throw toFailure(error, ['database_unreachable', 'sandbox_provider_unreachable']);
        }
      }),

    giveUpSandbox: async ({ jobId, sandbox, turn, ...facts }) => {
      try {
        const [checkpoint, promptSent] = await Promise.all([
          findCheckpoint(db, jobId, facts.endedTurns),
          turn === null ? false : hasBegunTurn(db, jobId, turn),
        ]);
        const from = decideRestore({ ...facts, promptSent, hasCheckpoint: checkpoint !== null });
        if (from === null) return null;
        await giveUpSandboxes(db, { jobId, id: sandbox });
        const message = 'The sandbox or its host is lost; the job continues in another one.';
        await appendEvents(db, jobId, [{ source: `sandbox.lost:${sandbox}`, body: { type: 'warning', code: 'sandbox_lost', message } }]);
        return from;
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}

type CheckpointedTurn = Pick<RunSessionInput, 'jobId' | 'tenant' | 'agent' | 'turn' | 'handle' | 'startCommit'>;

/**
 * Stores the state of the sandbox after a turn, or in a turn that waits. `source` names the occurrence, for its events. What fails is a
 * warning: the work is in the sandbox then, and nowhere else. Throws `sandbox_lost`, so that no turn counts as ended whose work is gone. Resolves to whether the checkpoint holds all that the agent changed; undefined where none was stored.
 */
export async function takeCheckpoint(
  deps: CheckpointDeps,
  { jobId, tenant, agent, turn, handle, startCommit }: CheckpointedTurn,
  { source, session }: { source: string; session: SessionState },
  stopped: AbortSignal,
): Promise<boolean | undefined> {
  if (startCommit === undefined) return undefined;
  const { db } = deps.database;
  const sandbox = providerNamed(deps.sandboxes, handle.provider).connect(handle);
  let folders: HostFolders | null = null;
  try {
    folders = await requireFolders(deps.sandboxes, handle);
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(CHECKPOINT_TIMEOUT_MS)]);
    const { sessionPaths } = deps.agents[agent];
    const { missing, ...parts } = await deps.workspaces.collectCheckpoint(sandbox, folders, { startCommit, sessionPaths, signal });
    const complete = missing.length === 0;
    const bytes = Object.values(parts).reduce((sum, { length }) => sum + length, 0);
    const checkpoint = { jobId, tenant, agent, turn, startCommit, session, complete };
    const events = [
      { source, body: { type: 'checkpoint.stored', turn, bytes, complete } as const },
      ...(complete ? [] : [{ source: `${source}:missing`, body: warningOf(`The checkpoint is without ${namesOf(missing)}.`) }]),
    ];
    let stored = await storeCheckpoint(db, handle.id, checkpoint, parts, events);
    if (stored === 'no_start') {
      await storeStart(db, { tenant, startCommit }, deps.workspaces.readStartObjects(folders, startCommit));
      stored = await storeCheckpoint(db, handle.id, checkpoint, parts, events);
    }
    if (stored === 'given_up') throw new ValetkeyError('sandbox_lost', 'The job has gone on in another sandbox.');
    return complete;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'sandbox_lost' && !stopped.aborted) throw error;
    log.warn('no checkpoint was stored', { jobId, code });
    const reason = ValetkeyError.is(error) ? error.message : 'An unexpected error, which the log of the worker has.';
    const body = warningOf(`No checkpoint was stored: ${reason}`);
    await appendEvents(db, jobId, [{ source: `${source}:failed`, body }]).catch(() => {});
    return undefined;
  } finally {
    await folders?.close();
    await sandbox.close();
  }
}

function warningOf(message: string): { type: 'warning'; code: string; message: string } {
  return { type: 'warning', code: 'checkpoint_incomplete', message };
}

function namesOf(missing: readonly string[]): string {
  const more = missing.length - MAX_NAMED;
  return [...missing.slice(0, MAX_NAMED), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}
