import { ValetkeyError } from '../../contract/errors.ts';
import type { JobEventBody } from '../../contract/events.ts';
import { isFromShim, isUnreadable, readReceipt, type AcpMessage } from '../acp/acp.ts';
import { agentUnresponsive, type AgentProcess } from '../acp/agent-process.ts';
import { openAcp, type AcpConnection } from '../acp/connection.ts';
import { createEventQueue, type EventQueue } from '../events/event-queue.ts';
import { createMask } from '../events/mask.ts';
import type { Transcript } from '../events/transcript.ts';
import type { PausedTurn } from './paused-turns.ts';
import { readPermissionRequest, withoutSubject, type AskedPermission } from './permissions.ts';
import type { Progress } from './progress.ts';
import { createQuestions, type Questions } from './questions.ts';
import { promptIdsOf } from './send-prompt.ts';
import { createTimeLimit, type TimeLimit } from './time-limit.ts';
import type { TurnOptions } from './turn-options.ts';

export interface ListenOptions extends TurnOptions {
  process: AgentProcess;
  progress: Progress;
  transcript: Transcript;
  /** The part of the turn that an earlier step has read; reading continues after it. */
  paused: PausedTurn | null;
  startTimeoutMs: number;
}

/** The attachment of one step to the agent's process, for one turn. */
export interface Attachment {
  acp: AcpConnection;
  queue: EventQueue;
  questions: Questions;
  /** The limit for the time until the agent's next message. */
  stall: TimeLimit;
  /** The limit for the receipt of the prompt, which the shim sends at once. */
  receipt: TimeLimit;
  /** Resolves when the shim has confirmed the receipt of the prompt. */
  received: Promise<void>;
  /** Decides a question of the agent, or leaves it open. */
  ask(request: AskedPermission, eventId: number): Promise<void>;
  /** Reports the output of tool calls that the turn's end cuts short. `eventId`: that of the turn's end; by default of the newest message. */
  rest(eventId?: number): Promise<void>;
  /** The agent's text of the turn, masked. */
  message(): string;
  /** Stops reading. Resolves to what was read, without the state; to null when a response did not reach the agent. */
  pause(): Promise<Omit<PausedTurn, 'state'> | null>;
  close(): void;
}

/** Attaches to a process of the agent: its messages become events, its permission requests are answered or left open. */
export function listen(options: ListenOptions): Attachment {
  const { sandbox, turn, process, progress, transcript, paused, cancel, decide, secrets, stallMs, startTimeoutMs, onEvent } = options;
  const { startedAtMs, serverId } = process;
  const mask = paused?.mask ?? createMask(secrets);
  const queue = createEventQueue(onEvent, (lastEventId) => progress.change({ lastEventId }), mask, progress.storedUpTo);
  const stall = createTimeLimit(stallMs, () => new ValetkeyError('stalled', `The agent sent no message for ${stallMs / 1000} s.`));
  const receipt = createTimeLimit(startTimeoutMs, () => agentUnresponsive('session/prompt', startTimeoutMs));
  const questions = createQuestions({ acp: () => acp, startedAtMs, turn, decide, cancel, denied: paused?.denied });
  const received = Promise.withResolvers<void>();
  const tell = async (eventId: number, body: JobEventBody | null): Promise<void> => {
    if (body !== null) await queue.push(eventId, { source: `acp:${startedAtMs}:${eventId}`, body });
  };

  /** An agent may have several questions open; the state holds the first, and the next step reads the others again. */
  let hasOpen = false;
  const ask = (request: AskedPermission, eventId: number): Promise<void> => {
    const { asked, answered } = questions.settle(request);
    if (answered !== null) return queue.push(eventId, asked, answered);
    if (!hasOpen) progress.change({ pending: withoutSubject(request) });
    hasOpen = true;
    return queue.push(eventId, asked);
  };
  const onMessage = async (message: AcpMessage | null, eventId: number): Promise<void> => {
    if (message === null || isUnreadable(message)) return tell(eventId, transcript.unreadable());
    const promptId = readReceipt(message);
    if (!isFromShim(message)) stall.restart();
    else if (promptId === null) return;
    else if (promptIdsOf(turn).includes(promptId)) {
      transcript.begin();
      progress.change({ running: promptId });
      receipt.stop();
      received.resolve();
    }
    const request = readPermissionRequest(message, transcript.toolOf, (text) => mask.text(text));
    if (request !== null) return ask(request, eventId);
    if (message.id !== undefined) {
      acp.respond(message.id, { error: { code: -32601, message: 'Method not found' } }).catch(() => {});
    }
    await tell(eventId, transcript.read(message));
  };
  /** Reports lost messages, except those whose events are stored already. */
  const onGap = async (missed: number, eventId: number): Promise<void> => {
    // The server keeps so many messages that the lost ones belong to this turn; the receipt of its prompt may be among them.
    transcript.begin();
    const from = Math.max(eventId - missed, progress.storedUpTo + 1);
    if (from === eventId) return;
    const body: JobEventBody = { type: 'gap', turn, messages: eventId - from };
    await queue.push(eventId - 1, { source: `acp:${startedAtMs}:${from}:gap`, body });
  };

  if (paused?.state.running != null) received.resolve();

  const acp = openAcp({ sandbox, serverId, after: paused?.newest ?? progress.since, onMessage, onGap });
  return {
    acp,
    queue,
    questions,
    stall,
    receipt,
    received: received.promise,
    ask,
    async rest(eventId = acp.newest()) {
      for (const body of transcript.rest()) {
        if (body.type === 'tool') await queue.push(eventId, { source: `acp:${startedAtMs}:rest:${turn}:${body.id}`, body });
      }
    },
    message: () => mask.text(transcript.text()),
    async pause() {
      const newest = await acp.stop();
      return newest === null ? null : { newest, secrets, mask, transcript, waiting: questions.waiting(), denied: questions.denied };
    },
    close() {
      stall.stop();
      receipt.stop();
      acp.close();
    },
  };
}
