import { CancellationScope, condition } from '@temporalio/workflow';

import type { StartedSandbox } from '../../activities/contracts.ts';
import type { JobInput } from '../../contract/spec.ts';
import type { Rotation } from '../rotation.ts';
import { allOrCancel } from '../scopes.ts';
import { isSandboxLost } from './decide-outcome.ts';
import type { JobKeys } from './job-keys.ts';
import type { JobSandbox } from './job-sandbox.ts';
import type { TurnLoop, TurnsEnd } from './turn-loop.ts';

export interface WorkParts {
  spec: Pick<JobInput, 'continues'>;
  sandbox: JobSandbox;
  keys: JobKeys;
  rotation: Rotation;
  turns: TurnLoop;
}

/**
 * Runs the turns of a job, in one sandbox after the other where one is lost or the job hibernates. Resolves to false where the next run of the
 * workflow continues the work.
 */
export async function runWork(parts: WorkParts): Promise<boolean> {
  const { sandbox, keys, turns } = parts;
  const losses = { count: 0, endedTurns: 0 };
  let replaceAfter: number | null = null;
  for (;;) {
    try {
      if (replaceAfter !== null) await replaceSandbox(parts, replaceAfter);
      else if (sandbox.started === null && !sandbox.isHibernated) await begin(parts);
      replaceAfter = null;
      const end = sandbox.started === null ? 'idle' : await runTurns(parts, sandbox.started);
      if (end !== 'idle') return end === 'done';
      await CancellationScope.nonCancellable(() => hibernate(parts));
      const wait = await turns.waitHibernated();
      if (wait !== 'wake') return wait === 'done';
      await together([sandbox.restore(turns.checkpointedTurns), keys.mintNext()]);
    } catch (error) {
      if (!isSandboxLost(error)) throw error;
      const { checkpointedTurns } = turns;
      losses.count = losses.endedTurns === checkpointedTurns ? losses.count + 1 : 1;
      losses.endedTurns = checkpointedTurns;
      replaceAfter = await giveUp(parts, losses.count);
      if (replaceAfter === null) throw error;
    }
  }
}

async function begin({ spec, sandbox, keys, turns }: WorkParts): Promise<void> {
  if (spec.continues === undefined) return together([sandbox.start(), keys.mint()]);
  await together([sandbox.continue((session) => turns.continueFrom(session)), keys.mint()]);
}

/** In a scope of its own, so that the work goes on where one of them finds the sandbox lost. */
async function together(tasks: readonly Promise<unknown>[]): Promise<void> {
  await CancellationScope.cancellable(() => allOrCancel(tasks));
}

function runTurns({ sandbox, turns }: WorkParts, started: StartedSandbox): Promise<TurnsEnd> {
  return sandbox.lost.orLost(started.handle.id, () => turns.run(started));
}

/** A job that only waits holds no sandbox and no active key. */
async function hibernate({ sandbox, keys, rotation, turns }: WorkParts): Promise<void> {
  if (sandbox.started === null) return;
  await condition(() => rotation.isIdle);
  await Promise.all([sandbox.hibernate(turns.endedTurns), keys.revoke()]);
}

/** Resolves to the turn after which another sandbox continues; null where the job fails. */
async function giveUp({ sandbox, turns }: WorkParts, losses: number): Promise<number | null> {
  const { unsavedTurn: turn, checkpointedTurns: endedTurns } = turns;
  turns.restart();
  const from = await sandbox.giveUp({ turn, endedTurns, losses });
  if (from === null) turns.drop();
  return from;
}

/** Continues in another sandbox with the next key, since the lost one may still hold this one. */
async function replaceSandbox({ sandbox, rotation }: WorkParts, turn: number): Promise<void> {
  await condition(() => rotation.isIdle);
  await rotation.request();
  await sandbox.restore(turn);
}
