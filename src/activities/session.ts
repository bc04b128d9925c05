import { activityInfo, log } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';

import { codeOf, isFailureCode, type FailureCode } from '../contract/errors.ts';
import { formatKeyRef, parseKeyRef } from '../contract/ref.ts';
import type { KeyContext } from '../keys/context.ts';
import { RENEWALS_PER_LEASE, renewLeases, renewSessionKey, type SessionKey } from '../keys/session-key.ts';
import { providerNamed } from '../sandboxes/index.ts';
import type { Secret } from '../secrets/secret.ts';
import { openToolSecrets } from '../secrets/tool-secrets.ts';
import type { Unsealer } from '../secrets/unsealer.ts';
import type { SandboxOperations } from '../session/index.ts';
import { answeredEvent } from '../session/turn/permissions.ts';
import { sessionStateSchema, type SessionState } from '../session/turn/state.ts';
import type { EndedTurn, Turn } from '../session/turn/turn-options.ts';
import type { Database, Db } from '../store/database.ts';
import { appendEvents, type SourcedEvent } from '../store/events.ts';
import { markBound } from '../store/key-transitions.ts';
import { spentUsd } from '../store/key-usage.ts';
import { readPrompt } from '../store/prompts.ts';
import { lastModelStop } from '../store/request-records.ts';
import { endTurn } from '../store/turns.ts';
import { readAgentJob } from './agent-job.ts';
import { takeCheckpoint, type CheckpointDeps } from './checkpoints.ts';
import { cleanUpClosedJob, type CleanUpDeps } from './clean-up-closed-job.ts';
import type { Activities, RunSessionInput, RunSessionResult } from './contracts.ts';
import { explainFailure } from './explain-failure.ts';
import { toFailure } from './failures.ts';
import { withHeartbeat } from './heartbeat.ts';
import { startLimitWatch } from './limit-watch.ts';
import { loadPermissionPolicy } from './permission-policy.ts';
import { withStopSignals, type StopDeps, type StopSignals } from './stop-signals.ts';

/** These never include a failure of the turn itself, for which a retry would charge the tenant twice. */
const RETRYABLE_CODES: readonly FailureCode[] = [
  'database_unreachable',
  'gateway_unreachable',
  'root_key_missing',
  'sandbox_provider_unreachable',
];
/** The limit for the prompt in the event `turn.started`. */
const MAX_PROMPT_CHARS = 4096;
/** The rotations within one turn whose keys are masked in advance. */
const PREDICTED_ROTATIONS_PER_TURN = 3;

export interface SessionDeps extends CheckpointDeps, CleanUpDeps, StopDeps {
  database: Database;
  session: Pick<SandboxOperations, 'bindKey' | 'runTurn'>;
  unsealer: Unsealer;
}

/** Holds the result of a cancelled turn, which is set before the turn throws. */
interface CancelledTurn {
  turn: EndedTurn | null;
}

export function sessionActivities(deps: SessionDeps): Pick<Activities, 'runSession'> {
  const { db } = deps.database;
  const runTurn = async (input: RunSessionInput, signals: StopSignals): Promise<RunSessionResult> => {
    const { jobId } = input;
    const cleanUp = runOnAbort(signals.jobClosed, () => cleanUpClosedJob(deps, deps.sandboxes[input.handle.provider], jobId));
    const cancelled: CancelledTurn = { turn: null };
    const key = await renewSessionKey(deps.keys, jobId).catch((error: unknown) => {
      // The gateway accepted its credential when the key was minted, so a refusal now is temporary.
      throw toFailure(error, [...RETRYABLE_CODES, 'gateway_refused']);
    });
    try {
      const turn = await driveSession(deps, input, key, signals, cancelled);
      const { state } = turn;
      const complete =
        turn.kind === 'asks'
          ? undefined
          : await withHeartbeat(
              () => state,
              () => takeCheckpoint(deps, input, { source: `checkpoint:${input.turn}`, session: state }, signals.any),
            );
      const result = await recordResult(db, input, turn);
      return complete === undefined ? result : { ...result, checkpointComplete: complete };
    } catch (error) {
      await cleanUp();
      if (signals.detach.aborted) throw signals.detach.reason;
      if (signals.cancel.aborted) {
        // Without the result the next turn resumes from an older state. An error here must not replace the cancellation: it would fail the job.
        const result = cancelled.turn === null ? null : await recordResult(db, input, cancelled.turn).catch(() => null);
        throw new CancelledFailure('The turn was cancelled.', result === null ? [] : [result]);
      }
      const failure = toFailure(await explainFailure(db, jobId, error), RETRYABLE_CODES);
      if (failure.nonRetryable === true) {
        const code = isFailureCode(failure.type) ? failure.type : 'internal';
        await appendEvents(db, jobId, [turnEndedEvent(input, null, code)]);
      }
      throw failure;
    }
  };
  return { runSession: async (input) => withStopSignals(deps, input.jobId, (signals) => runTurn(input, signals)) };
}

/** Binds the key and runs the turn, from where an earlier attempt stopped. `cancelled` receives the turn's result when it is cancelled. */
async function driveSession(
  deps: SessionDeps,
  input: RunSessionInput,
  key: SessionKey,
  signals: StopSignals,
  cancelled: CancelledTurn,
): Promise<Turn> {
  const { db } = deps.database;
  const { jobId, agent: name, handle, turn } = input;
  const agent = deps.agents[name];
  const watch = startLimitWatch(db, deps.sandboxes, jobId, handle);
  const detach = AbortSignal.any([signals.detach, watch.exceeded]);
  const interrupt = new AbortController();
  const cancel = AbortSignal.any([signals.cancel, interrupt.signal]);
  const sandbox = providerNamed(deps.sandboxes, handle.provider).connect(handle);
  const earlier = sessionStateSchema.safeParse(activityInfo().heartbeatDetails);
  let state: SessionState | null = earlier.success ? earlier.data : input.session;
  const stopRenewing = startLeaseRenewal(deps.keys, jobId);
  try {
    return await withHeartbeat(
      () => state,
      async () => {
        const { ref, secret } = key;
        const [prompt, job, decide] = await Promise.all([
          readPrompt(db, jobId, input.prompt),
          readAgentJob(db, input),
          loadPermissionPolicy(db, input),
        ]);
        const toolSecrets = await openToolSecrets(deps.unsealer, input.secrets, input.tenant);
        await deps.session.bindKey(sandbox, agent, secret, job, AbortSignal.any([cancel, detach]));
        await markBound(db, { ref, jobId }, deps.keys.leaseMs, [
          { source: `key.bound:${ref}`, body: { type: 'key.bound', ref } },
          { source: turnStartedSource(input), body: { type: 'turn.started', turn, prompt: prompt.slice(0, MAX_PROMPT_CHARS) } },
          ...decidedBefore(input),
        ]);
        // A turn that waits for an answer may report no further state, so the interrupt of a running prompt applies at once.
        if (input.interrupt && state?.turn === turn && state.running !== null) interrupt.abort();
        return deps.session.runTurn({
          sandbox,
          jobId,
          turn,
          prompt,
          sessionSettings: agent.sessionSettings?.({ ...job, paths: sandbox.paths }),
          modelStop: () => lastModelStop(db, jobId, turnStartedSource(input)),
          mcpServers: input.mcpServers ?? [],
          resume: state,
          secrets: [secret, ...toolSecrets.values(), ...predictKeys(deps.keys, input)],
          decide,
          onInterrupted: input.onInterrupted,
          resumes: input.resumes,
          stallMs: input.stallMs,
          onEvent: (events) => appendEvents(db, jobId, events),
          onState: (next) => {
            state = next;
            // The first state shows that the turn has started, also when it was unknown whether its prompt had been sent.
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
 * Returns the keys that rotations during the turn would mint, because the agent may print one before this attempt knows of it. A key of a
 * worker with another root key is masked by its format, in plain form only.
 */
function predictKeys({ rootKeys }: KeyContext, { jobId, ref }: RunSessionInput): Secret[] {
  const { leaseId, generation } = parseKeyRef(ref);
  return Array.from({ length: PREDICTED_ROTATIONS_PER_TURN }, (_, index) =>
    rootKeys.derive(rootKeys.currentId, formatKeyRef({ jobId, leaseId, generation: generation + index + 1 })),
  );
}

/** Renews the leases of a job's keys until the returned function is called. The interval leaves time for further tries when a renewal fails. */
function startLeaseRenewal(keys: KeyContext, jobId: string): () => void {
  const renew = (): void => {
    renewLeases(keys, jobId).catch((error: unknown) => {
      log.warn('the lease of a key was not renewed; the next try follows', { jobId, code: codeOf(error) });
    });
  };
  const timer = setInterval(renew, keys.leaseMs / RENEWALS_PER_LEASE);
  return () => clearInterval(timer);
}

/** Starts `work` when the signal aborts. The returned function resolves when the work has ended, or at once when it never started. */
function runOnAbort(signal: AbortSignal, work: () => Promise<void>): () => Promise<void> {
  let running = Promise.resolve();
  const begin = (): void => {
    running = work();
  };
  signal.addEventListener('abort', begin, { once: true });
  return () => running;
}

/** The event of the answer to the question at which the job hibernated: the process that asked it is gone, and never receives it. */
function decidedBefore({ resumes, answer }: RunSessionInput): SourcedEvent[] {
  if (resumes === undefined || answer?.question !== resumes.question.id) return [];
  return [answeredEvent(resumes.question, { answer: answer.answer, by: answer.by })];
}

/** Stores the end of a turn and returns the step's result for the workflow. */
async function recordResult(db: Db, input: RunSessionInput, turn: Turn): Promise<RunSessionResult> {
  if (turn.kind === 'asks') {
    return { stopReason: null, question: turn.question, session: turn.state, spentUsd: await spentUsd(db, input.jobId) };
  }
  const { stopReason, message, state } = turn;
  const ended = { turn: input.turn, stopReason, message };
  const spent = await endTurn(db, input.jobId, ended, [turnEndedEvent(input, stopReason, null)]);
  return { stopReason, question: null, session: state, spentUsd: spent };
}

function turnStartedSource({ ref, turn }: RunSessionInput): string {
  return `${ref}:turn:${turn}:started`;
}

function turnEndedEvent({ ref, turn }: RunSessionInput, stopReason: string | null, code: FailureCode | null): SourcedEvent {
  return { source: `${ref}:turn:${turn}:ended`, body: { type: 'turn.ended', turn, stopReason, code } };
}
