import { findProcess, startProcess, type AgentProcess } from '../acp/instance.ts';
import { ProcessGone } from '../acp/post.ts';
import { createTranscript } from '../events/transcript.ts';
import { driveTurn } from './drive-turn.ts';
import { INITIALIZE } from './open-session.ts';
import type { SessionState } from './state.ts';
import type { Turn, TurnOptions } from './turn-options.ts';

export type { AskingTurn, EndedTurn, Turn, TurnOptions } from './turn-options.ts';

const START_TIMEOUT_MS = 60_000;
/** Of one call: an agent that always dies must not be started for ever. */
const MAX_PROCESSES = 3;

/**
 * Runs one prompt to its stop reason or to a question, in the one session of the job. Idempotent on job id and turn: any worker
 * may call it again, after a crash at any moment or at the same time, with the last state or without one; the prompt runs once,
 * and each event has the same source. The caller retries. What the server has forgotten (it keeps 1,024 messages) is had from what
 * the shim kept; where that fails it becomes a `gap` event. Where the agent's process has died, the session goes on in a new one: a
 * prompt that it had not received is sent again, one that it had answered is not, and of one in between `onInterrupted` decides.
 * Throws `agent_failed`, `turn_interrupted`, `stalled`, `session_lost` where the session cannot be loaded,
 * `agent_unresponsive`, `sandbox_socket_refused`, and within 5 s of the end of the server `sandbox_lost`.
 */
export async function runTurn(options: TurnOptions): Promise<Turn> {
  const { turn, cancel, detach, startTimeoutMs = START_TIMEOUT_MS } = options;
  const ended = new AbortController();
  const paused = options.pausedTurns?.take(options) ?? null;
  const transcript = paused?.transcript ?? createTranscript(turn);
  let resume = options.resume;
  const onState = (state: SessionState): void => options.onState((resume = state));
  let dead: AgentProcess | null = null;
  try {
    for (let processes = 1; ; processes += 1) {
      // A prompt that runs has to be ended at the agent: the cancel waits until we are there.
      const runs = dead === null && resume?.turn === turn && resume.running !== null;
      const stop = AbortSignal.any([detach, ended.signal, ...(runs ? [] : [cancel])]);
      stop.throwIfAborted();
      const process = await attach({ ...options, startTimeoutMs, resume }, dead, stop);
      try {
        return await driveTurn({ ...options, startTimeoutMs, onState, resume, process, transcript, paused, stop });
      } catch (error) {
        if (!(error instanceof ProcessGone) || resume === null || processes === MAX_PROCESSES) throw error;
        dead = process;
      }
    }
  } catch (error) {
    if (cancel.aborted) throw cancel.reason;
    if (detach.aborted) throw detach.reason;
    throw error;
  } finally {
    ended.abort();
  }
}

/** Resolves to the newest of the agent's processes; where that is `dead`, or does not know the session, to one after it. */
async function attach(
  { sandbox, jobId, resume, startTimeoutMs }: TurnOptions & { startTimeoutMs: number },
  dead: AgentProcess | null,
  stop: AbortSignal,
): Promise<AgentProcess> {
  const found = await findProcess(sandbox, jobId, stop);
  const last = Math.max(resume?.process ?? -1, dead?.number ?? -1);
  const isHeld = found?.number === resume?.process && found?.startedAtMs === resume?.startedAtMs;
  if (found !== null && dead?.number !== found.number && (found.number > last || isHeld)) return found;
  const number = Math.max(last, found?.number ?? -1) + 1;
  return startProcess(sandbox, { jobId, number, first: INITIALIZE, timeoutMs: startTimeoutMs }, stop);
}
