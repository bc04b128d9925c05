import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Agent } from '../../src/agents/agent.ts';

type Protocol = Agent['protocol'];

/** What becomes of one request to the model in place of its answer. */
export type Trouble = 'answers 529' | 'answers 429' | 'answers 500' | 'resets' | 'breaks off' | 'reports an error in mid-answer';

/** Before the first byte of an answer, where the gateway tries again. */
export const BEFORE: readonly Trouble[] = ['answers 529', 'answers 429', 'answers 500', 'resets'];
/** After it, where the agent does. */
export const AFTER: readonly Trouble[] = ['breaks off', 'reports an error in mid-answer'];

const ANTHROPIC_ERROR = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
const OPENAI_ERROR = { error: { type: 'server_error', code: 'server_error', param: null, message: 'Overloaded' } };

/** How each protocol reports an error in the middle of a stream. */
const EVENTS: Record<Protocol, string> = {
  messages: `event: error\ndata: ${JSON.stringify(ANTHROPIC_ERROR)}\n\n`,
  responses: `event: response.failed\ndata: ${JSON.stringify({
    type: 'response.failed',
    response: { id: 'resp_failed', object: 'response', status: 'failed', output: [], error: OPENAI_ERROR.error },
  })}\n\n`,
  chat: `data: ${JSON.stringify(OPENAI_ERROR)}\n\n`,
};

/** Events of an answer that are passed on before it ends badly, or half of them: some of its text is among them. */
const PASSED_ON = 6;

/** Whether a request asks the model for an answer. */
export function isAsking({ method, url = '' }: IncomingMessage): boolean {
  return method === 'POST' && /^\/v1\/(messages|responses|chat\/completions)(\?|$)/.test(url);
}

/** Answers with what is wrong before the first byte; false where `trouble` comes after it. */
export function failAtOnce(trouble: Trouble, protocol: Protocol, { socket }: IncomingMessage, response: ServerResponse): boolean {
  if (AFTER.includes(trouble)) return false;
  if (trouble === 'resets') {
    socket.destroy();
    return true;
  }
  response.writeHead(Number(trouble.slice(-3)), { 'content-type': 'application/json', 'retry-after': '1' });
  response.end(JSON.stringify(protocol === 'messages' ? ANTHROPIC_ERROR : OPENAI_ERROR));
  return true;
}

/** Passes on the beginning of an answer, then ends it badly. */
export async function failInTheMiddle(
  trouble: Trouble,
  protocol: Protocol,
  answer: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let text = '';
  for await (const part of answer.setEncoding('utf8')) text += String(part);
  const events = text.split('\n\n');
  const begun = events.slice(0, Math.min(PASSED_ON, events.length / 2)).join('\n\n');
  response.write(`${begun}\n\n`);
  // Each reader has it before the end.
  await new Promise((resolve) => setTimeout(resolve, 100));
  if (trouble === 'breaks off') response.destroy();
  else response.end(EVENTS[protocol]);
}
