import { COST } from './ledger.ts';
import type { Skin } from './refusals.ts';

const PATHS: Record<string, Skin> = {
  '/api/v1/chat/completions': 'chat',
  '/api/v1/messages': 'messages',
  '/api/v1/responses': 'responses',
};

/** The API of a path; null for any other path. */
export function skinOf(path: string): Skin | null {
  return PATHS[path] ?? null;
}

/** A short answer of a model, complete. Every answer states `usage.cost` in USD (https://openrouter.ai/docs/guides/guides/usage-accounting). */
export function answerOf(skin: Skin, model: string): object {
  switch (skin) {
    case 'chat':
      return {
        id: 'gen-fake',
        object: 'chat.completion',
        model,
        choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
        usage: usageOf(skin),
      };
    case 'messages':
      return {
        id: 'gen-fake',
        type: 'message',
        role: 'assistant',
        model,
        content: [{ type: 'text', text: 'ok' }],
        stop_reason: 'end_turn',
        usage: usageOf(skin),
      };
    case 'responses':
      return {
        id: 'gen-fake',
        object: 'response',
        model,
        status: 'completed',
        output: [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'ok' }] }],
        usage: usageOf(skin),
      };
  }
}

/** The same as a stream of server-sent events. */
export function streamOf(skin: Skin, model: string): string {
  switch (skin) {
    case 'chat': {
      const chunk = { id: 'gen-fake', object: 'chat.completion.chunk', model };
      return events([
        { ...chunk, choices: [{ index: 0, delta: { role: 'assistant', content: 'ok' }, finish_reason: null }] },
        { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
        { ...chunk, choices: [], usage: usageOf(skin) },
      ]).concat('data: [DONE]\n\n');
    }
    case 'messages':
      return events([
        { type: 'message_start', message: { id: 'gen-fake', type: 'message', role: 'assistant', model, content: [], usage: startUsage() } },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'ok' } },
        { type: 'content_block_stop', index: 0 },
        { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: usageOf(skin) },
        { type: 'message_stop' },
      ]);
    case 'responses':
      return events([
        { type: 'response.created', response: { id: 'gen-fake', object: 'response', model, status: 'in_progress' } },
        { type: 'response.output_text.delta', delta: 'ok' },
        { type: 'response.completed', response: answerOf(skin, model) },
      ]);
  }
}

/** Adds the cost to each usage in the JSON of an upstream's answer, or in an event of its stream. */
export function withCost(text: string): string {
  return text.replaceAll(/"usage"\s*:\s*\{(?!\s*\})/g, `"usage":{"cost":${COST.usd},`);
}

function usageOf(skin: Skin): object {
  const { inputTokens, outputTokens, usd } = COST;
  return skin === 'chat'
    ? { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens, cost: usd }
    : { input_tokens: inputTokens, output_tokens: outputTokens, cost: usd };
}

function startUsage(): object {
  return { input_tokens: COST.inputTokens, output_tokens: 0 };
}

function events(list: (Record<string, unknown> & { type?: string })[]): string {
  return list.map((event) => `${event.type === undefined ? '' : `event: ${event.type}\n`}data: ${JSON.stringify(event)}\n\n`).join('');
}
