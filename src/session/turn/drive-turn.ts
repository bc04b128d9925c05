import { ValetkeyError } from '../../contract/errors.ts';
import type { AcpAnswer } from '../acp/acp.ts';
import type { AgentProcess } from '../acp/agent-process.ts';
import { ProcessGone } from '../acp/post.ts';
import type { Transcript } from '../events/transcript.ts';
import { endPrompt } from './end-prompt.ts';
import { listen } from './listen.ts';
import { enterSession } from './open-session.ts';
import type { PausedTurn } from './paused-turns.ts';
import { answeredEvent, questionOf } from './permissions.ts';
import { trackProgress } from './progress.ts';
import { sendPrompt } from './send-prompt.ts';
import { readStopReason } from './stop-reason.ts';
import type { EndedTurn, Turn, TurnOptions } from './turn-options.ts';

/*
 * One call of `driveTurn`, with one process of the agent:
 *
 *    decide(pending) ──'ask'──────────────────────────────────────────────────▶ returns { kind: 'asks' }
 *         │ decided, or nothing pending
 *    listen ▶ enterSession ▶ sendPrompt ─┬─ the prompt is answered ───────────▶ returns { kind: 'ended' }
 *      │                                 ├─ a question needs an answer ▶ pause ▶ returns { kind: 'asks' }
 *      │                                 ├─ cancel or stalled ▶ endPrompt ─────▶ throws the reason
 *      │                                 ├─ detach: the agent continues ───────▶ throws the reason
 *      │                                 └─ the process or server has ended ───▶ throws ProcessGone or sandbox_lost
 *      └─ messages ▶ transcript ▶ mask ▶ event queue ▶ onEvent ▶ onState   (in order, while the rest runs)
 *
 * Every exit closes the attachment and waits until the queued events are stored.
 */

export interface DriveOptions extends TurnOptions {
  process: AgentProcess;
  /** The transcript of the turn, across all processes that it takes. */
  transcript: Transcript;
  /** The part of the turn that an earlier step has read. */
  paused: PausedTurn | null;
  startTimeoutMs: number;
  /** Ends the call at once and leaves the agent running. */
  stop: AbortSignal;
}

/** Runs a turn with one process of the agent. Throws as `runTurn`, and `ProcessGone` when the process has ended and all its messages are stored. */
export async function driveTurn(options: DriveOptions): Promise<Turn> {
  const { turn, resume, process, transcript, cancel, detach, stop } = options;
  const { startedAtMs } = process;
  const progress = trackProgress(process, turn, resume, options.onState);
  const pending = progress.earlier?.pending ?? null;
  if (progress.earlier !== null && pending !== null && !cancel.aborted) {
    const question = questionOf(pending, startedAtMs, turn);
    const decision = options.decide(question);
    if (decision === 'ask') return { kind: 'asks', question, state: progress.earlier };
    await options.onEvent([answeredEvent(question, decision)]);
  }

  const paused = progress.earlier === null ? null : options.paused;
  if (paused === null) transcript.restart();
  const attachment = listen({ ...options, progress, paused });
  const { acp, queue, questions, stall, receipt } = attachment;
  if (pending !== null) questions.settle(pending);
  for (const request of paused?.waiting ?? []) if (request.rpcId !== pending?.rpcId) await attachment.ask(request, progress.storedUpTo);
  const interrupted = Promise.race([acp.lost, queue.failed, rejectOnAbort(stop)]);
  const endedTurn = async (sessionId: string, stopReason: string, answer: AcpAnswer | null): Promise<EndedTurn> => {
    await attachment.rest(answer?.eventId);
    await queue.drain();
    if (answer !== null) progress.change({ lastEventId: answer.eventId, running: null, pending: null });
    return { kind: 'ended', stopReason, message: attachment.message(), state: progress.state(sessionId) };
  };

  try {
    const sessionId = await Promise.race([enterSession(options, acp, progress.held), interrupted]);
    progress.open(sessionId);
    const answering = sendPrompt({ ...options, acp, queue, sessionId });
    const answered = answering.then((answer) => ({ answer }));
    const asked = questions.open.then((request) => ({ question: questionOf(request, startedAtMs, turn) }));
    stall.start();
    if (paused?.state.running == null) receipt.start();
    try {
      const next = await Promise.race([answered, interrupted, rejectOnAbort(cancel), asked, stall.exceeded, receipt.exceeded]);
      if ('answer' in next) {
        const modelStop = (await options.modelStop?.()) ?? null;
        return await endedTurn(sessionId, modelStop ?? readStopReason(next.answer, { denied: questions.denied }), next.answer);
      }
      const read = await Promise.race([attachment.pause(), interrupted]);
      await queue.drain();
      const state = progress.state(sessionId);
      if (read !== null) options.pausedTurns?.keep(options.jobId, { ...read, state });
      return { kind: 'asks', question: next.question, state };
    } catch (error) {
      const stalled = ValetkeyError.is(error) && error.code === 'stalled';
      if (detach.aborted || !(cancel.aborted || stalled)) throw error;
      const answer = await endPrompt(attachment, sessionId, answering);
      if (stalled) await attachment.rest();
      if (cancel.aborted) options.onCancelled?.(await endedTurn(sessionId, 'cancelled', answer));
      throw error;
    }
  } catch (error) {
    if (error instanceof ProcessGone) {
      await attachment.rest();
      await queue.drain();
    }
    throw error;
  } finally {
    attachment.close();
    await queue.drain().catch(() => {});
  }
}

/** Rejects with the signal's reason once it is aborted. */
function rejectOnAbort(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  if (signal.aborted) reject(signal.reason);
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}
