import { activityInfo, log } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';

import type { Agents } from '../agents/index.ts';
import { codeOf, FAILURES, isFailureCode, ValetkeyError, type FailureCode } from '../contract/errors.ts';
import { formatKeyRef, parseKeyRef } from '../contract/ref.ts';
import type { KeyContext } from '../keys/context.ts';
import { RENEWALS_PER_LEASE, renewLeases, renewSessionKey, type SessionKey } from '../keys/session-key.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { Secret } from '../secrets/secret.ts';
import { openToolSecrets } from '../secrets/tool-secrets.ts';
import type { Unsealer } from '../secrets/unsealer.ts';
import type { Session } from '../session/index.ts';
import { sessionStateSchema, type SessionState } from '../session/turn/state.ts';
import type { EndedTurn, Turn, TurnOptions } from '../session/turn/turn-options.ts';
import type { Database, Db } from '../store/database.ts';
import { appendEvents, type SourcedEvent } from '../store/events.ts';
import { endTurn, markBound, spentUsd } from '../store/keys.ts';
import { readPrompt } from '../store/prompts.ts';
import { readDecisions } from '../store/questions.ts';
import { lastFailure, lastModelStop } from '../store/request-records.ts';
import { cleanUpClosedJob, type CleanUpDeps } from './clean-up-closed-job.ts';
import type { Activities, RunSessionInput, RunSessionResult } from './contracts.ts';
import { toFailure } from './failures.ts';
import { withHeartbeat } from './heartbeat.ts';
import { startLimitWatch } from './limit-watch.ts';
import { withStopSignals, type StopDeps, type StopSignals } from './stop-signals.ts';

/** Never one that tells of the turn itself: the tenant would pay for it twice. */
const RETRIED: readonly FailureCode[] = ['database_unreachable', 'gateway_unreachable', 'root_key_missing'];
/** What the agent says of a failure of the model, in words or by saying nothing. */
const UNEXPLAINED: readonly FailureCode[] = ['agent_failed', 'stalled'];
/** Of a prompt, in the event of its start. */
const MAX_PROMPT_CHARS = 4096;
/** Of one turn. */
const PREDICTED_ROTATIONS = 3;

export interface SessionDeps extends CleanUpDeps, StopDeps {
  database: Database;
  sandboxes: Sandboxes;
  agents: Agents;
  session: Pick<Session, 'bindKey' | 'runTurn'>;
  unsealer: Unsealer;
}

/** Where a turn leaves word of how far it got, before it throws. */
interface Cancelled {
  turn: EndedTurn | null;
}

export function sessionActivities(deps: SessionDeps): Pick<Activities, 'runSession'> {
  const { db } = deps.database;
  const runTurn = async (input: RunSessionInput, signals: StopSignals): Promise<RunSessionResult> => {
    const { jobId } = input;
    const cleanUp = onceAborted(signals.gone, () => cleanUpClosedJob(deps, deps.sandboxes[input.handle.provider], jobId));
    const cancelled: Cancelled = { turn: null };
    const key = await renewSessionKey(deps.keys, jobId).catch((error: unknown) => {
      // The gateway took the job's key, so its credential was right and will be again.
      throw toFailure(error, [...RETRIED, 'gateway_refused']);
    });
    try {
      return await resultOf(db, input, await drive(deps, input, key, signals, cancelled));
    } catch (error) {
      await cleanUp();
      if (signals.detach.aborted) throw signals.detach.reason;
      if (signals.cancel.aborted) {
        // Without it the next turn goes on from an older state; a cancel that fails in another way would fail the job.
        const result = cancelled.turn === null ? null : await resultOf(db, input, cancelled.turn).catch(() => null);
        throw new CancelledFailure('the turn was cancelled', result === null ? [] : [result]);
      }
      const failure = toFailure(await explain(db, jobId, error), RETRIED);
      if (failure.nonRetryable === true) {
        const code = failure.type ?? 'internal';
        await appendEvents(db, jobId, [turnEnded(input, null, code)]);
      }
      throw failure;
    }
  };
  return { runSession: async (input) => withStopSignals(deps, input.jobId, (signals) => runTurn(input, signals)) };
}

/** Binds the key and runs the turn, from where an earlier attempt got to. `cancelled` gets what was there when it was cancelled. */
async function drive(
  deps: SessionDeps,
  input: RunSessionInput,
  key: SessionKey,
  signals: StopSignals,
  cancelled: Cancelled,
): Promise<Turn> {
  const { db } = deps.database;
  const { jobId, agent, handle, turn, permissions } = input;
  const watch = startLimitWatch(db, deps.sandboxes, jobId, handle);
  const detach = AbortSignal.any([signals.detach, watch.exceeded]);
  const interrupt = new AbortController();
  const cancel = AbortSignal.any([signals.cancel, interrupt.signal]);
  const sandbox = deps.sandboxes[handle.provider].connect(handle);
  const earlier = sessionStateSchema.safeParse(activityInfo().heartbeatDetails);
  let state: SessionState | null = earlier.success ? earlier.data : input.session;
  const stopRenewing = keepLeases(deps.keys, jobId);
  try {
    return await withHeartbeat(
      () => state,
      async () => {
        const { ref, secret } = key;
        const [prompt, decide] = await Promise.all([readPrompt(db, jobId, input.prompt), decideFor(db, input)]);
        const toolSecrets = await openToolSecrets(deps.unsealer, input.secrets, input.tenant);
        await deps.session.bindKey(sandbox, deps.agents[agent], secret, input, AbortSignal.any([cancel, detach]));
        await markBound(db, { ref, jobId }, deps.keys.leaseMs, [
          { source: `key.bound:${ref}`, body: { type: 'key.bound', ref } },
          { source: startedSource(input), body: { type: 'turn.started', turn, prompt: prompt.slice(0, MAX_PROMPT_CHARS) } },
        ]);
        // One that waits for an answer is not asked about again.
        if (input.interrupt && state?.turn === turn && state.running !== null) interrupt.abort();
        return deps.session.runTurn({
          sandbox,
          jobId,
          turn,
          prompt,
          sessionSettings: deps.agents[agent].sessionSettings?.({ paths: sandbox.paths, permissions }),
          modelStop: () => lastModelStop(db, jobId, startedSource(input)),
          resume: state,
          secrets: [secret, ...toolSecrets.values(), ...nextKeys(deps.keys, input)],
          decide,
          onInterrupted: input.onInterrupted,
          stallMs: input.stallMs,
          onEvent: (events) => appendEvents(db, jobId, events),
          onState: (next) => {
            state = next;
            // Now it is there, also where nobody knew whether its prompt had been sent.
            if (input.interrupt) interrupt.abort();
          },
          onCancelled: (ended) => {
            cancelled.turn = ended;
          },
          cancel,
          detach,
        });
      },
    );
  } catch (error) {
    const interrupted = interrupt.signal.aborted && !signals.cancel.aborted && !detach.aborted;
    if (interrupted && cancelled.turn !== null) return cancelled.turn;
    throw error;
  } finally {
    await watch.stop();
    stopRenewing();
    await sandbox.close();
  }
}

/**
 * The keys that rotations in mid-turn would bring: the agent may print one before anybody tells this attempt of it. What a worker with
 * another root key mints is masked by the look of its plain form alone.
 */
function nextKeys({ rootKeys }: KeyContext, { jobId, ref }: RunSessionInput): Secret[] {
  const { leaseId, generation } = parseKeyRef(ref);
  return Array.from({ length: PREDICTED_ROTATIONS }, (_, index) =>
    rootKeys.derive(rootKeys.currentId, formatKeyRef({ jobId, leaseId, generation: generation + index + 1 })),
  );
}

/** Renews the leases of a job's keys while it is at work. A renewal that fails is followed by the next in time. */
function keepLeases(keys: KeyContext, jobId: string): () => void {
  const renew = (): void => {
    renewLeases(keys, jobId).catch((error: unknown) => {
      log.warn('the lease of a key was not renewed', { jobId, code: codeOf(error) });
    });
  };
  const timer = setInterval(renew, keys.leaseMs / RENEWALS_PER_LEASE);
  return () => clearInterval(timer);
}

/** Begins the work at the abort; resolves what it returns when nothing of it runs. */
function onceAborted(signal: AbortSignal, work: () => Promise<void>): () => Promise<void> {
  let running = Promise.resolve();
  const begin = (): void => {
    running = work();
  };
  signal.addEventListener('abort', begin, { once: true });
  return () => running;
}

/** What becomes of a question of the turn. Questions that earlier attempts answered are read again with the agent's messages. */
async function decideFor(db: Db, { jobId, turn, permissions, answer }: RunSessionInput): Promise<TurnOptions['decide']> {
  if (permissions !== 'ask') return () => ({ answer: permissions, by: 'policy' });
  const decisions = await readDecisions(db, jobId, turn);
  if (answer !== null) decisions.set(answer.question, { answer: answer.answer, by: answer.by });
  return ({ id }) => decisions.get(id) ?? 'ask';
}

/** What the workflow gets of a turn, whose end is recorded. */
async function resultOf(db: Db, input: RunSessionInput, turn: Turn): Promise<RunSessionResult> {
  if (turn.kind === 'asks') {
    return { stopReason: null, question: turn.question, session: turn.state, spentUsd: await spentUsd(db, input.jobId) };
  }
  const { stopReason, message, state } = turn;
  const ended = { turn: input.turn, stopReason, message };
  const spent = await endTurn(db, input.jobId, ended, [turnEnded(input, stopReason, null)]);
  return { stopReason, question: null, session: state, spentUsd: spent };
}

function startedSource({ ref, turn }: RunSessionInput): string {
  return `${ref}:turn:${turn}:started`;
}

function turnEnded({ ref, turn }: RunSessionInput, stopReason: string | null, code: string | null): SourcedEvent {
  return { source: `${ref}:turn:${turn}:ended`, body: { type: 'turn.ended', turn, stopReason, code } };
}

/**
 * Agents report a provider's error in words of their own, some as a success of another kind: what the gateway recorded of
 * the newest request of the job's keys is the reason.
 */
async function explain(db: Db, jobId: string, error: unknown): Promise<unknown> {
  if (!ValetkeyError.is(error) || !UNEXPLAINED.includes(error.code)) return error;
  const code = await lastFailure(db, jobId).catch(() => null);
  return code === null || !isFailureCode(code)
    ? error
    : new ValetkeyError(code, `the agent's request to the model failed: ${FAILURES[code].hint}`);
}
