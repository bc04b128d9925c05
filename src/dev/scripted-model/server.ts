import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { buffer } from 'node:stream/consumers';

import { sumUsd } from '../../contract/money.ts';
import { chat } from './chat.ts';
import { ModelExchange, type ServedRequest } from './exchange.ts';
import { messages } from './messages.ts';
import { openaiError } from './openai-error.ts';
import type { ModelConversation, ModelProtocol, Reply } from './protocol.ts';
import { nextSteps, replyTo } from './reply.ts';
import { responses } from './responses.ts';
import type { Step } from './script.ts';
import { inputTokens, MODELS } from './usage.ts';

export interface ScriptedModelOptions {
  /** A free one unless given. */
  port?: number;
  /** For prompts that hold no script of their own. */
  script?: Step[];
  /** What callers must send as `x-api-key` or as a bearer token; unless given, everybody is served. */
  credential?: string;
}

export interface ScriptedModel {
  /** Without `/v1`. */
  readonly baseUrl: string;
  /** In the order of their ends. A record stands here before the last byte of its answer is sent. */
  readonly served: readonly ServedRequest[];
  /** Sum of what was served, in USD. */
  usd(): number;
  /** Requests that have begun and not ended. */
  inFlight(): number;
  /** Breaks what is open. */
  close(): Promise<void>;
}

/**
 * An LLM provider on loopback, for development and tests: Anthropic Messages, OpenAI Responses, Chat Completions and the list of
 * models. It does what a script says and keeps no state between requests, so any number of agents can use it at once, and retry.
 */
export async function startScriptedModel(options: ScriptedModelOptions = {}): Promise<ScriptedModel> {
  const served: ServedRequest[] = [];
  const open = new Set<ModelExchange>();
  const server = createServer((request, response) => {
    const exchange = new ModelExchange(response, (record) => {
      open.delete(exchange);
      served.push(record);
    });
    open.add(exchange);
    // A caller who hangs up ends its exchange by a rejection; a fault of ours must not leave the caller waiting.
    answer(request, exchange, options).catch(() => response.destroy());
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  return {
    baseUrl: `http://127.0.0.1:${portOf(server.address())}`,
    served,
    usd: () => sumUsd(served.map(({ usd }) => usd ?? 0)),
    inFlight: () => open.size,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const PROTOCOLS: Record<string, ModelProtocol> = {
  '/v1/messages': messages,
  '/v1/responses': responses,
  '/v1/chat/completions': chat,
};

async function answer(request: IncomingMessage, exchange: ModelExchange, options: ScriptedModelOptions): Promise<void> {
  const body = await buffer(request);
  const { pathname } = new URL(request.url ?? '/', 'http://provider.invalid');
  const counting = pathname === '/v1/messages/count_tokens';
  const protocol = counting ? messages : PROTOCOLS[pathname];
  const anthropic = protocol === messages || request.headers['anthropic-version'] !== undefined;
  const error = anthropic ? messages.error : openaiError;

  if (!isAuthorised(request, options.credential)) return exchange.json(401, error(401, 'the credential is wrong'));
  if (pathname === '/v1/models' && request.method === 'GET') {
    exchange.describe('models');
    return exchange.json(200, anthropic ? anthropicModels() : openaiModels());
  }
  if (protocol === undefined) return exchange.json(404, error(404, 'there is nothing here'));
  // Codex asks for a WebSocket first, and takes this for "use HTTP".
  if (request.method !== 'POST') return exchange.json(426, error(426, 'use POST'));

  let conversation: ModelConversation;
  let steps: Step[];
  try {
    conversation = protocol.read(JSON.parse(body.toString()));
    steps = nextSteps(conversation, options.script);
  } catch {
    return exchange.json(400, error(400, 'the request, or the script in its prompt, is malformed'));
  }
  exchange.describe(counting ? 'count_tokens' : protocol.name, conversation.model, conversation.stream && !counting);
  if (counting) return exchange.json(200, { input_tokens: inputTokens(body.length) });
  const failure = steps.find((step) => 'fail' in step);
  if (failure !== undefined) return exchange.json(failure.fail.status, error(failure.fail.status, 'the script says so'));
  if (steps.some((step) => 'stop' in step && step.stop === 'context_length'))
    return exchange.json(400, error(400, 'prompt is too long: 210000 tokens > 200000 maximum', 'context_length_exceeded'));
  const reply = replyTo(conversation, steps, body.length, protocol.writesCache);
  const [first] = reply.parts;
  if (first?.is === 'break' && first.how === 'hang') return exchange.stop('hang');
  if (conversation.stream) return exchange.events(protocol.frames(reply, conversation));
  await sendWhole(exchange, protocol, reply);
}

async function sendWhole(exchange: ModelExchange, protocol: ModelProtocol, reply: Reply): Promise<void> {
  for (const part of reply.parts) {
    if (part.is === 'break') return part.how === 'hang' ? exchange.stop('hang') : exchange.torn(protocol.whole(reply));
    if (part.is === 'text') await exchange.wait(part.everyMs * part.chunks.length);
  }
  exchange.json(200, protocol.whole(reply), reply.usage);
}

function isAuthorised({ headers }: IncomingMessage, credential: string | undefined): boolean {
  return credential === undefined || headers['x-api-key'] === credential || headers.authorization === `Bearer ${credential}`;
}

function anthropicModels(): object {
  const data = MODELS.filter((id) => id.startsWith('claude')).map((id) => ({
    type: 'model',
    id,
    display_name: id,
    created_at: '2025-09-29T00:00:00Z',
  }));
  return { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
}

function openaiModels(): object {
  const data = MODELS.filter((id) => id.startsWith('gpt')).map((id) => ({
    id,
    object: 'model',
    created: 1_762_992_000,
    owned_by: 'system',
  }));
  return { object: 'list', data };
}

function portOf(address: ReturnType<Server['address']>): number {
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return address.port;
}
