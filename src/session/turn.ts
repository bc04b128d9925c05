import { setTimeout as sleep } from 'node:timers/promises';

import { AGENT_METHODS, CLIENT_METHODS, type PromptRequest } from '@agentclientprotocol/sdk';

import { ValetkeyError } from '../job/errors.ts';
import type { AgentName } from '../job/spec.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import type { SourcedEvent } from '../store/events.ts';
import type { AcpAnswer, AcpMessage } from './acp.ts';
import { openAcp, type AcpConnection } from './connection.ts';
import { createEventQueue } from './event-queue.ts';
import { findInstance, startInstance } from './instance.ts';
import { INITIALIZE, openSession } from './open-session.ts';
import { allow } from './permissions.ts';
import type { SessionState } from './state.ts';
import { stopReasonOf } from './stop-reason.ts';
import { createTranscript } from './transcript.ts';

const START_TIMEOUT_MS = 60_000;
const CANCEL_TIMEOUT_MS = 2000;

export interface TurnOptions {
  sandbox: SandboxConnection;
  agent: AgentName;
  jobId: string;
  /** Counts from 1 within the job. */
  turn: number;
  prompt: string;
  /** The last state that is known, of an earlier attempt at this turn or of the turn before; null: none. */
  resume: SessionState | null;
  /** Stores events, each source once; one call at a time. What it throws ends the call and leaves the agent running. */
  onEvent: (events: SourcedEvent[]) => Promise<void>;
  /** Hears each new state once what it says is true. */
  onState: (state: SessionState) => void;
  /** Ends the turn at the agent, too (≤ 2 s), then the call rejects with the signal's reason. */
  cancel: AbortSignal;
  /** Leaves the agent running; the call rejects with the signal's reason. */
  detach: AbortSignal;
  /** For the agent's start and each answer up to the prompt; 60,000 ms when left out. */
  startTimeoutMs?: number;
}

export interface Turn {
  /** ACP's `end_turn`, `max_tokens` or `max_turn_requests`. */
  stopReason: string;
  /** The agent's text, cut to its last 16 KiB. */
  message: string;
  /** What the next turn resumes. */
  state: SessionState;
}

/**
 * Runs one prompt to its stop reason, in the one session of the job. Idempotent on job id and turn while the agent's process
 * lives: any worker may call it again, after a crash at any moment or at the same time, with the last state or without one;
 * the prompt runs once, and each event has the same source. The caller retries.
 * Throws `agent_failed`, `turn_refused`, `agent_unresponsive`, `sandbox_socket_refused`, and within 5 s of the end of the
 * server or of the agent's process `sandbox_lost`.
 */
export async function runTurn(options: TurnOptions): Promise<Turn> {
  const { cancel, detach } = options;
  const ended = new AbortController();
  const stop = AbortSignal.any([cancel, detach, ended.signal]);
  try {
    stop.throwIfAborted();
    const instanceMs = await attach(options, stop);
    return await drive(options, instanceMs, stop);
  } catch (error) {
    if (cancel.aborted) throw cancel.reason;
    if (detach.aborted) throw detach.reason;
    throw error;
  } finally {
    ended.abort();
  }
}

/** Resolves to the instance of the agent's process, which is started where there was none. */
async function attach(
  { sandbox, agent, jobId, resume, startTimeoutMs = START_TIMEOUT_MS }: TurnOptions,
  stop: AbortSignal,
): Promise<number> {
  const found = await findInstance(sandbox, jobId, stop);
  if (resume !== null && found !== resume.instanceMs)
    throw new ValetkeyError('sandbox_lost', "The agent's process that held the session is gone.");
  return found ?? startInstance(sandbox, { serverId: jobId, agent, first: INITIALIZE, timeoutMs: startTimeoutMs }, stop);
}

async function drive(options: TurnOptions, instanceMs: number, stop: AbortSignal): Promise<Turn> {
  const { sandbox, jobId, turn, prompt, resume, cancel, detach, startTimeoutMs = START_TIMEOUT_MS } = options;
  const promptId = `turn-${turn}`;
  const again = resume?.turn === turn;
  const since = (again ? resume.since : resume?.lastEventId) ?? 0;
  const storedUpTo = resume?.lastEventId ?? 0;
  const transcript = createTranscript({ instanceMs, turn, promptId, since, again });

  let state: SessionState | null = null;
  const setState = (next: SessionState): void => options.onState((state = next));
  const queue = createEventQueue(options.onEvent, (lastEventId) => state && setState({ ...state, lastEventId }));
  const acp = openAcp({
    sandbox,
    serverId: jobId,
    after: since,
    async onMessage(message, eventId) {
      answerAgent(acp, message);
      const event = transcript.read(message, eventId);
      if (event !== null && eventId > storedUpTo) await queue.push(eventId, event);
    },
  });
  const stopped = rejection(stop);
  const ended = Promise.race([acp.lost, queue.failed, stopped]);

  try {
    const sessionId = resume?.sessionId ?? (await Promise.race([openSession(acp, sandbox.paths.workspace, startTimeoutMs), ended]));
    setState({ v: 1, instanceMs, sessionId, turn, since, lastEventId: storedUpTo });
    const params: PromptRequest = { sessionId, prompt: [{ type: 'text', text: prompt }] };
    const answering = acp.request(promptId, AGENT_METHODS.session_prompt, params);
    const answer = await Promise.race([answering, ended]).catch(async (error: unknown) => {
      if (cancel.aborted && !detach.aborted) await cancelTurn(acp, sessionId, answering);
      throw error;
    });
    await Promise.race([queue.drain(), ended]);
    const stopReason = stopReasonOf(answer);
    return { stopReason, message: transcript.text(), state: { v: 1, instanceMs, sessionId, turn, since, lastEventId: answer.eventId } };
  } finally {
    acp.close();
    await queue.drain().catch(() => {});
  }
}

function answerAgent(acp: AcpConnection, { id, method, params }: AcpMessage): void {
  if (id === undefined || method === undefined) return;
  const asksPermission = method === CLIENT_METHODS.session_request_permission;
  const answer = asksPermission ? { result: allow(params) } : { error: { code: -32601, message: 'Method not found' } };
  // Where it does not arrive the connection is lost, which is told elsewhere.
  acp.respond(id, answer).catch(() => {});
}

/** Resolves when the agent has ended the turn, at the latest after 2 s. */
async function cancelTurn(acp: AcpConnection, sessionId: string, answering: Promise<AcpAnswer>): Promise<void> {
  const ended = acp.notify(AGENT_METHODS.session_cancel, { sessionId }).then(() => answering);
  await Promise.race([ended, sleep(CANCEL_TIMEOUT_MS, undefined, { ref: false })]).catch(() => {});
}

/** Rejects with the signal's reason once it is aborted. */
function rejection(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  if (signal.aborted) reject(signal.reason);
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}
