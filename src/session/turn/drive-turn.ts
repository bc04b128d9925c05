import { ValetkeyError } from '../../contract/errors.ts';
import type { AcpAnswer } from '../acp/acp.ts';
import type { AgentProcess } from '../acp/instance.ts';
import { ProcessGone } from '../acp/post.ts';
import type { Transcript } from '../events/transcript.ts';
import { endPrompt } from './end-prompt.ts';
import { listen } from './listen.ts';
import { enterSession } from './open-session.ts';
import type { PausedTurn } from './paused-turns.ts';
import { answeredEvent, questionOf } from './permissions.ts';
import { trackProgress } from './progress.ts';
import { sendPrompt } from './send-prompt.ts';
import { stopReasonOf } from './stop-reason.ts';
import type { EndedTurn, Turn, TurnOptions } from './turn-options.ts';

export interface DriveOptions extends TurnOptions {
  process: AgentProcess;
  /** Of the turn, whatever processes it takes. */
  transcript: Transcript;
  /** What an earlier step has read of it. */
  paused: PausedTurn | null;
  startTimeoutMs: number;
  /** Ends the call at once. */
  stop: AbortSignal;
}

/** `runTurn` with one process of the agent. Throws `ProcessGone`, too: it has died, and all that it said is stored. */
export async function driveTurn(options: DriveOptions): Promise<Turn> {
  const { turn, resume, process, transcript, cancel, detach, stop } = options;
  const { startedAtMs } = process;
  const progress = trackProgress(process, turn, resume, options.onState);
  const left = progress.earlier?.pending ?? null;
  if (progress.earlier !== null && left !== null && !cancel.aborted) {
    const question = questionOf(left, startedAtMs, turn);
    const decision = options.decide(question);
    if (decision === 'ask') return { kind: 'asks', question, state: progress.earlier };
    await options.onEvent([answeredEvent(question, decision)]);
  }

  const paused = progress.earlier === null ? null : options.paused;
  if (paused === null) transcript.restart();
  const here = listen({ ...options, progress, paused });
  const { acp, queue, questions, stall, receipt } = here;
  if (left !== null) questions.settle(left);
  for (const request of paused?.waiting ?? []) if (request.rpcId !== left?.rpcId) await here.ask(request, progress.storedUpTo);
  const over = Promise.race([acp.lost, queue.failed, rejection(stop)]);
  const endedTurn = async (sessionId: string, stopReason: string, answer: AcpAnswer | null): Promise<EndedTurn> => {
    await here.rest(answer?.eventId);
    await queue.drain();
    if (answer !== null) progress.change({ lastEventId: answer.eventId, running: null, pending: null });
    return { kind: 'ended', stopReason, message: here.message(), state: progress.state(sessionId) };
  };

  try {
    const sessionId = await Promise.race([enterSession(options, acp, progress.held), over]);
    progress.open(sessionId);
    const answering = sendPrompt({ ...options, acp, queue, sessionId });
    const answered = answering.then((answer) => ({ answer }));
    const asked = questions.open.then((request) => ({ question: questionOf(request, startedAtMs, turn) }));
    stall.start();
    if (paused?.state.running == null) receipt.start();
    try {
      const next = await Promise.race([answered, over, rejection(cancel), asked, stall.exceeded, receipt.exceeded]);
      if ('answer' in next) {
        const modelStop = (await options.modelStop?.()) ?? null;
        return await endedTurn(sessionId, modelStop ?? stopReasonOf(next.answer, { denied: questions.denied }), next.answer);
      }
      const read = await Promise.race([here.pause(), over]);
      await queue.drain();
      const state = progress.state(sessionId);
      if (read !== null) options.pausedTurns?.keep(options.jobId, { ...read, state });
      return { kind: 'asks', question: next.question, state };
    } catch (error) {
      const stalled = ValetkeyError.is(error) && error.code === 'stalled';
      if (detach.aborted || !(cancel.aborted || stalled)) throw error;
      const answer = await endPrompt(here, sessionId, answering);
      if (stalled) await here.rest();
      if (cancel.aborted) options.onCancelled?.(await endedTurn(sessionId, 'cancelled', answer));
      throw error;
    }
  } catch (error) {
    if (error instanceof ProcessGone) {
      await here.rest();
      await queue.drain();
    }
    throw error;
  } finally {
    here.close();
    await queue.drain().catch(() => {});
  }
}

/** Rejects with the signal's reason once it is aborted. */
function rejection(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  if (signal.aborted) reject(signal.reason);
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}
