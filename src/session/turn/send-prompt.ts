import { AGENT_METHODS, type PromptRequest } from '@agentclientprotocol/sdk';

import { ValetkeyError } from '../../contract/errors.ts';
import { INTERRUPTED, type AcpAnswer } from '../acp/acp.ts';
import type { AcpConnection } from '../acp/connection.ts';
import type { AgentProcess } from '../acp/instance.ts';
import type { EventQueue } from '../events/event-queue.ts';
import type { TurnOptions } from './turn-options.ts';

const CONTINUE = 'Your process was ended before you had finished. Look at what is done already, then go on from there.';

/** A turn's own prompt, and the one that asks the agent to go on with it. */
export function promptIdsOf(turn: number): [string, string] {
  return [`turn-${turn}`, `turn-${turn}-continue`];
}

export interface SendPromptOptions extends Pick<TurnOptions, 'turn' | 'prompt' | 'onInterrupted'> {
  acp: AcpConnection;
  queue: EventQueue;
  process: AgentProcess;
  sessionId: string;
}

/**
 * Resolves to the agent's answer. Idempotent on the turn, over processes of the agent, too: the shim remembers what they have
 * received, and an agent is asked to go on at most once a turn. Throws `turn_interrupted`, `session_lost`.
 */
export async function sendPrompt(options: SendPromptOptions): Promise<AcpAnswer> {
  const { acp, queue, process, sessionId, turn, prompt, onInterrupted } = options;
  const ask = (id: string, text: string): Promise<AcpAnswer> =>
    acp.request(id, AGENT_METHODS.session_prompt, { sessionId, prompt: [{ type: 'text', text: asText(text) }] } satisfies PromptRequest);

  const [promptId, continueId] = promptIdsOf(turn);
  const answer = await ask(promptId, prompt);
  if (answer.errorCode !== INTERRUPTED) return answer;
  if (process.number === 0) throw new ValetkeyError('session_lost', "The agent's process ended, and its session is not known any more.");
  if (onInterrupted === 'fail') throw interrupted();
  const message = "The agent's process ended in mid-turn; the agent was asked to continue in a new one.";
  const source = `acp:${process.startedAtMs}:interrupted`;
  await queue.push(answer.eventId, { source, body: { type: 'warning', code: 'turn_interrupted', message } });
  const rest = await ask(continueId, CONTINUE);
  if (rest.errorCode === INTERRUPTED) throw interrupted();
  return rest;
}

/**
 * Agents take a prompt that begins with a slash, white space before it left aside, for a command of theirs: with an invisible
 * character before it, it is a text to each of them.
 */
function asText(prompt: string): string {
  return /^\s*\//.test(prompt) ? `\u200B${prompt}` : prompt;
}

function interrupted(): ValetkeyError {
  return new ValetkeyError('turn_interrupted', "The agent's process ended after it had received the prompt and before it answered.");
}
