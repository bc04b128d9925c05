import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';

import { INTERNAL_ERROR, RpcError } from '../json-rpc/client.ts';
import { child, objects, parseObject, text } from '../json-rpc/json.ts';
import type { Answer, Message, Session, ToolCall } from './session.ts';
import { readSettings } from './settings.ts';

/** ACP’s code for a credential that is refused. */
const AUTH_REQUIRED = -32000;
const BASH = {
  type: 'function',
  function: {
    name: 'bash',
    description: 'Runs a shell command in the workspace.',
    parameters: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] },
  },
};

/** The answer was cut off after its first byte. Before it, the gateway retries. */
export class IncompleteAnswerError extends RpcError {
  constructor() {
    super(INTERNAL_ERROR, 'The answer of the LLM is incomplete.');
  }
}

/** Requests the LLM’s next message and sends its text as it arrives. @throws IncompleteAnswerError, RpcError */
export async function requestAnswer(session: Session, signal: AbortSignal): Promise<Answer> {
  const response = await postMessages(session.messages, signal);
  let content = '';
  const calls: ToolCall[] = [];
  let isComplete = false;
  for await (const line of linesOf(response)) {
    if (!line.startsWith('data: {')) continue;
    const event = parseObject(line.slice('data: '.length));
    if (event === null || event['error'] !== undefined) throw new IncompleteAnswerError();
    const [choice = {}] = objects(event['choices']);
    isComplete ||= text(choice['finish_reason']) !== '';
    const delta = child(choice, 'delta') ?? {};
    const piece = text(delta['content']);
    if (piece !== '') session.sendChunk('agent_message_chunk', piece);
    content += piece;
    for (const part of objects(delta['tool_calls'])) {
      const call = (calls[Number(part['index'])] ??= { id: '', type: 'function', function: { name: '', arguments: '' } });
      const described = child(part, 'function') ?? {};
      call.id += text(part['id']);
      call.function.name += text(described['name']);
      call.function.arguments += text(described['arguments']);
    }
  }
  if (!response.complete || !isComplete) throw new IncompleteAnswerError();
  return { role: 'assistant', content, ...(calls.length > 0 && { tool_calls: calls }) };
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: response, crlfDelay: Infinity });
  } catch {
    throw new IncompleteAnswerError();
  }
}

/** Sends the request. Where the key is refused, the file is read again, since the key may have been rotated in between. */
async function postMessages(messages: readonly Message[], signal: AbortSignal): Promise<IncomingMessage> {
  // Imported on use, because it takes 10 MB: sessions that only wait do without.
  const { request } = await import('node:http');
  const { baseUrl, keyFile, model, instructions } = readSettings();
  const system = instructions === '' ? [] : [{ role: 'system', content: instructions }];
  const body = JSON.stringify({
    model,
    messages: [...system, ...messages],
    tools: [BASH],
    stream: true,
    stream_options: { include_usage: true },
  });
  const post = async (key: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      request(`${baseUrl}/chat/completions`, { method: 'POST', headers, signal }, resolve).on('error', reject).end(body);
    });
  const key = readFileSync(keyFile, 'utf8');
  let response = await post(key);
  const next = readFileSync(keyFile, 'utf8');
  if (response.statusCode === 401 && next !== key) response = await post(next);
  if (response.statusCode === 200) return response;
  // The body is read to its end, as agents do that report the error.
  await once(response.resume(), 'end');
  const code = response.statusCode === 401 ? AUTH_REQUIRED : INTERNAL_ERROR;
  throw new RpcError(code, `The LLM call failed with HTTP status ${response.statusCode}.`);
}
