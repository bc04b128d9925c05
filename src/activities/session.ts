import { activityInfo } from '@temporalio/activity';

import type { Agents } from '../agents/index.ts';
import type { Gateways } from '../gateways/index.ts';
import { FAILURES, ValetkeyError, type FailureCode } from '../job/errors.ts';
import type { KeyRef } from '../job/ref.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { Session } from '../session/index.ts';
import { sessionStateSchema, type SessionState } from '../session/state.ts';
import type { Turn } from '../session/turn.ts';
import type { Database, Db } from '../store/database.ts';
import { appendEvents } from '../store/events.ts';
import { endTurn, markBound } from '../store/keys.ts';
import { lastFailure } from '../store/requests.ts';
import type { Activities, RunSessionInput } from './contracts.ts';
import { toFailure } from './failures.ts';
import { withHeartbeat } from './heartbeat.ts';
import { stopSignals, type StopSignals } from './stop-signals.ts';

/** Never one that tells of the turn itself: the tenant would pay for it twice. */
const RETRIED: readonly FailureCode[] = ['database_unreachable'];
/** A result goes into the history, once a turn. */
const MAX_MESSAGE_CHARS = 4096;

export interface SessionDeps {
  database: Database;
  gateways: Gateways;
  sandboxes: Sandboxes;
  agents: Agents;
  session: Pick<Session, 'bindKey' | 'runTurn'>;
}

export function sessionActivities(deps: SessionDeps): Pick<Activities, 'runSession'> {
  const { db } = deps.database;
  return {
    runSession: async (input) => {
      const { jobId, ref, turn } = input;
      const ended = `${ref}:turn:${turn}:ended`;
      const signals = stopSignals();
      try {
        const { stopReason, message, state } = await drive(deps, input, signals);
        const spentUsd = await endTurn(db, { ref, jobId }, [{ source: ended, body: { type: 'turn.ended', turn, stopReason, code: null } }]);
        return { turn: { stopReason, message: message.slice(-MAX_MESSAGE_CHARS) }, session: state, spentUsd };
      } catch (error) {
        if (signals.cancel.aborted || signals.detach.aborted) throw signals.cancel.reason ?? signals.detach.reason;
        const failure = toFailure(await explain(db, ref, error), RETRIED);
        if (failure.nonRetryable === true) {
          const code = failure.type ?? 'internal';
          await appendEvents(db, jobId, [{ source: ended, body: { type: 'turn.ended', turn, stopReason: null, code } }]);
        }
        throw failure;
      }
    },
  };
}

/** Binds the key and runs the turn, from where an earlier attempt got to. */
async function drive(deps: SessionDeps, input: RunSessionInput, { cancel, detach }: StopSignals): Promise<Turn> {
  const { db } = deps.database;
  const { jobId, ref, gateway, agent, model, handle, turn, prompt } = input;
  const sandbox = deps.sandboxes[handle.provider].connect(handle);
  const earlier = sessionStateSchema.safeParse(activityInfo().heartbeatDetails);
  let state: SessionState | null = earlier.success ? earlier.data : input.session;
  try {
    return await withHeartbeat(
      () => state,
      async () => {
        await deps.session.bindKey(
          sandbox,
          deps.agents[agent],
          await deps.gateways[gateway].secret(ref),
          model,
          AbortSignal.any([cancel, detach]),
        );
        await markBound(db, { ref, jobId }, [
          { source: `key.bound:${ref}`, body: { type: 'key.bound', ref } },
          { source: `${ref}:turn:${turn}:started`, body: { type: 'turn.started', turn, prompt: prompt.slice(0, MAX_MESSAGE_CHARS) } },
        ]);
        return deps.session.runTurn({
          sandbox,
          agent,
          jobId,
          turn,
          prompt,
          resume: state,
          onEvent: (events) => appendEvents(db, jobId, events),
          onState: (next) => {
            state = next;
          },
          cancel,
          detach,
        });
      },
    );
  } finally {
    await sandbox.close();
  }
}

/**
 * Agents report a provider's error in words of their own, some as a success of another kind: what the gateway recorded of
 * the key's newest request is the reason.
 */
async function explain(db: Db, ref: KeyRef, error: unknown): Promise<unknown> {
  if (!ValetkeyError.is(error) || error.code !== 'agent_failed') return error;
  const code = await lastFailure(db, ref).catch(() => null);
  return code === null ? error : new ValetkeyError(code, `the agent's request to the model failed: ${FAILURES[code].hint}`);
}
