import { findProcess, startProcess, type AgentProcess } from '../acp/agent-process.ts';
import { ProcessGone } from '../acp/post.ts';
import { createTranscript } from '../events/transcript.ts';
import { driveTurn } from './drive-turn.ts';
import { INITIALIZE } from './open-session.ts';
import type { SessionState } from './state.ts';
import type { Turn, TurnOptions } from './turn-options.ts';

export type { AskingTurn, EndedTurn, Turn, TurnOptions } from './turn-options.ts';

const START_TIMEOUT_MS = 60_000;
/** Processes of the agent per call: one that always ends must not be restarted forever. */
const MAX_PROCESSES_PER_CALL = 3;

/**
 * Runs one prompt to its stop reason or to a question, in the one session of the job. Idempotent on job id and turn: any worker may call it
 * again, after a crash at any moment or concurrently, with the last state or without one; the prompt runs once, and each event keeps its
 * source. The caller retries. Messages that the server has discarded (it keeps 1,024) come from the shim's backlog; those that neither has
 * become a `gap` event. When the agent's process has ended, the session continues in a new one: a prompt that it had not received is sent
 * again, one that it had answered is not, and `onInterrupted` decides about one in between. Throws `agent_failed`, `turn_interrupted`,
 * `stalled`, `session_lost` when the session cannot be loaded, `agent_unresponsive`, `sandbox_socket_refused`, and `sandbox_lost` within 5 s
 * of the end of the server.
 */
export async function runTurn(options: TurnOptions): Promise<Turn> {
  const { turn, cancel, detach, startTimeoutMs = START_TIMEOUT_MS } = options;
  const ended = new AbortController();
  const paused = options.pausedTurns?.take(options) ?? null;
  const transcript = paused?.transcript ?? createTranscript(turn);
  let resume = options.resume;
  const onState = (state: SessionState): void => options.onState((resume = state));
  let endedProcess: AgentProcess | null = null;
  try {
    for (let processes = 1; ; processes += 1) {
      // A running prompt has to be cancelled at the agent, so `cancel` takes effect only after the attachment.
      const isRunning = endedProcess === null && resume?.turn === turn && resume.running !== null;
      const stop = AbortSignal.any([detach, ended.signal, ...(isRunning ? [] : [cancel])]);
      stop.throwIfAborted();
      const process = await attach({ ...options, startTimeoutMs, resume }, endedProcess, stop);
      try {
        return await driveTurn({ ...options, startTimeoutMs, onState, resume, process, transcript, paused, stop });
      } catch (error) {
        if (!(error instanceof ProcessGone) || resume === null || processes === MAX_PROCESSES_PER_CALL) throw error;
        endedProcess = process;
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

/** Resolves to the newest process of the agent; starts another when that is `endedProcess` or does not know the session. */
async function attach(
  { sandbox, jobId, resume, startTimeoutMs }: TurnOptions & { startTimeoutMs: number },
  endedProcess: AgentProcess | null,
  stop: AbortSignal,
): Promise<AgentProcess> {
  const found = await findProcess(sandbox, jobId, stop);
  const last = Math.max(resume?.process ?? -1, endedProcess?.number ?? -1);
  const holdsSession = found?.number === resume?.process && found?.startedAtMs === resume?.startedAtMs;
  if (found !== null && endedProcess?.number !== found.number && (found.number > last || holdsSession)) return found;
  const number = Math.max(last, found?.number ?? -1) + 1;
  return startProcess(sandbox, { jobId, number, first: INITIALIZE, timeoutMs: startTimeoutMs }, stop);
}
