import { AGENT_METHODS, type PromptRequest } from '@agentclientprotocol/sdk';

import { ValetkeyError } from '../../contract/errors.ts';
import { INTERRUPTED_CODE } from '../../in-sandbox/shim/protocol.ts';
import type { AcpAnswer } from '../acp/acp.ts';
import type { AgentProcess } from '../acp/agent-process.ts';
import type { AcpConnection } from '../acp/connection.ts';
import type { EventQueue } from '../events/event-queue.ts';
import { CONTINUE_PROMPT, resumePrompt } from './own-prompts.ts';
import type { TurnOptions } from './turn-options.ts';

/** The request ids of a turn's own prompt, of the one that asks the agent to continue it, and of the one that brings an answer to a new sandbox. */
export function promptIdsOf(turn: number): [prompt: string, continued: string, resumed: string] {
  return [`turn-${turn}`, `turn-${turn}-continue`, `turn-${turn}-resume`];
}

export interface SendPromptOptions extends Pick<TurnOptions, 'turn' | 'prompt' | 'onInterrupted' | 'resumes'> {
  acp: AcpConnection;
  queue: EventQueue;
  process: AgentProcess;
  sessionId: string;
}

/**
 * Sends the prompt and resolves to the agent's answer. Idempotent on the turn, also across processes of the agent: the shim remembers what
 * they received, and the agent is asked to continue at most once per turn. Throws `turn_interrupted`, `session_lost`.
 */
export async function sendPrompt(options: SendPromptOptions): Promise<AcpAnswer> {
  const { acp, queue, process, sessionId, turn, prompt, onInterrupted, resumes } = options;
  const send = (id: string, text: string): Promise<AcpAnswer> =>
    acp.request(id, AGENT_METHODS.session_prompt, {
      sessionId,
      prompt: [{ type: 'text', text: escapeCommand(text) }],
    } satisfies PromptRequest);

  const [promptId, continueId, resumeId] = promptIdsOf(turn);
  const answer = await (resumes === undefined ? send(promptId, prompt) : send(resumeId, resumePrompt(resumes)));
  if (answer.errorCode !== INTERRUPTED_CODE) return answer;
  if (process.number === 0) throw new ValetkeyError('session_lost', "The agent's process ended, and its session is unknown.");
  if (onInterrupted === 'fail') throw interrupted();
  const message = "The agent's process ended during the turn; the agent was asked to continue in a new one.";
  const source = `acp:${process.startedAtMs}:interrupted`;
  await queue.push(answer.eventId, { source, body: { type: 'warning', code: 'turn_interrupted', message } });
  const rest = await send(continueId, CONTINUE_PROMPT);
  if (rest.errorCode === INTERRUPTED_CODE) throw interrupted();
  return rest;
}

/**
 * Agents interpret a prompt that begins with a slash, also after white space, as a command. A zero-width space before it makes it text for
 * all of them.
 */
function escapeCommand(prompt: string): string {
  return /^\s*\//.test(prompt) ? `\u200B${prompt}` : prompt;
}

function interrupted(): ValetkeyError {
  return new ValetkeyError('turn_interrupted', "The agent's process ended after it had received the prompt and before it had answered.");
}
