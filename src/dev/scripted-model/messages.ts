import { z } from 'zod';

import type { ModelConversation, ConversationEntry, Frame, Part, ModelProtocol, Reply } from './protocol.ts';
import type { SentUsage } from './usage.ts';

const blockSchema = z.looseObject({ type: z.string(), text: z.string().optional() });
const textSchema = z.union([z.string().transform((text) => [{ type: 'text', text }]), z.array(blockSchema)]);

const requestSchema = z.looseObject({
  model: z.string(),
  max_tokens: z.int().positive().optional(),
  stream: z.boolean().default(false),
  system: textSchema.default([]),
  messages: z.array(z.looseObject({ role: z.enum(['user', 'assistant', 'system']), content: textSchema })).min(1),
  tools: z.array(z.looseObject({ name: z.string() })).default([]),
});

type Block = z.output<typeof blockSchema>;

/** Anthropic Messages: platform.claude.com/docs/en/api/messages. */
export const messages: ModelProtocol = {
  name: 'messages',
  writesCache: true,

  read(body) {
    const { model, stream, system, messages: all, tools } = requestSchema.parse(body);
    const texts = [...system, ...all.flatMap(({ content }) => content)].map(({ text }) => text ?? '');
    return {
      model,
      stream,
      entries: all.flatMap(({ role, content }) => (role === 'user' ? userEntries(content) : role === 'assistant' ? [{ is: 'other' }] : [])),
      tools: tools.map(({ name }) => name),
      cwd: /working directory: (\/.*)/i.exec(texts.join('\n'))?.[1],
      streamUsage: true,
    } satisfies ModelConversation;
  },

  whole: (reply) => ({
    ...envelope(reply),
    content: reply.parts.flatMap(wholeBlock),
    stop_reason: stopReason(reply),
    usage: usage(reply.usage),
  }),

  *frames(reply) {
    const started = { ...reply.usage, output: 1 };
    yield frame({ type: 'message_start', message: { ...envelope(reply), usage: usage(started) } }, started);
    yield frame({ type: 'ping' });
    for (const [index, part] of reply.parts.entries()) yield* blockFrames(index, part);
    const stop = { stop_reason: stopReason(reply), stop_sequence: null };
    yield frame({ type: 'message_delta', delta: stop, usage: deltaUsage(reply.usage) }, reply.usage);
    yield frame({ type: 'message_stop' });
  },

  error: (status, message) => ({ type: 'error', error: { type: ERROR_TYPES[status] ?? 'api_error', message } }),
};

const ERROR_TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

/** Claude Code adds reminders to prompts, and texts to tool results: neither is a prompt, unless it holds a script. */
function userEntries(content: Block[]): ConversationEntry[] {
  const hasResult = content.some(({ type }) => type === 'tool_result');
  return content.flatMap(({ type, text = '' }): ConversationEntry[] => {
    if (type === 'tool_result') return [{ is: 'result' }];
    if (type !== 'text' || text.startsWith('<system-reminder>')) return [];
    return hasResult && !text.includes('```script') ? [] : [{ is: 'prompt', text }];
  });
}

function envelope({ id, model }: Reply): object {
  return { id: `msg_${id}`, type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null };
}

function stopReason({ parts, stop }: Reply): string {
  // It has one word for both.
  if (stop !== null) return stop === 'content_filter' ? 'refusal' : stop;
  return parts.some(({ is }) => is === 'call') ? 'tool_use' : 'end_turn';
}

function wholeBlock(part: Part): object[] {
  switch (part.is) {
    case 'text':
      return [{ type: 'text', text: part.chunks.join(''), citations: null }];
    case 'thinking':
      return [{ type: 'thinking', thinking: part.text, signature: signature(part.text) }];
    case 'call':
      return [{ type: 'tool_use', id: `toolu_${part.id}`, name: part.call.name, input: part.call.input }];
    case 'break':
      return [];
  }
}

function* blockFrames(index: number, part: Part): Generator<Frame> {
  if (part.is === 'break') {
    yield part.how;
    return;
  }
  const delta = (content: object): Frame => frame({ type: 'content_block_delta', index, delta: content });
  yield frame({ type: 'content_block_start', index, content_block: emptyBlock(part) });
  switch (part.is) {
    case 'text':
      for (const text of part.chunks) {
        yield { waitMs: part.everyMs };
        yield delta({ type: 'text_delta', text });
      }
      break;
    case 'thinking':
      yield delta({ type: 'thinking_delta', thinking: part.text });
      yield delta({ type: 'signature_delta', signature: signature(part.text) });
      break;
    case 'call':
      yield delta({ type: 'input_json_delta', partial_json: '' });
      yield delta({ type: 'input_json_delta', partial_json: JSON.stringify(part.call.input) });
  }
  yield frame({ type: 'content_block_stop', index });
}

function emptyBlock(part: Exclude<Part, { is: 'break' }>): object {
  if (part.is === 'text') return { type: 'text', text: '' };
  if (part.is === 'thinking') return { type: 'thinking', thinking: '', signature: '' };
  return { type: 'tool_use', id: `toolu_${part.id}`, name: part.call.name, input: {} };
}

function signature(thinking: string): string {
  return Buffer.from(`signed: ${thinking}`).toString('base64');
}

function usage(sent: SentUsage): object {
  return {
    ...deltaUsage(sent),
    cache_creation: { ephemeral_5m_input_tokens: sent.cacheWrite5m, ephemeral_1h_input_tokens: sent.cacheWrite1h },
    service_tier: 'standard',
  };
}

/** The last event of a stream has all totals, but not how the written cache splits up. */
function deltaUsage({ input, cacheRead, cacheWrite5m, cacheWrite1h, output }: SentUsage): object {
  const written = cacheWrite5m + cacheWrite1h;
  return {
    input_tokens: input - cacheRead - written,
    cache_creation_input_tokens: written,
    cache_read_input_tokens: cacheRead,
    output_tokens: output,
  };
}

function frame(data: { type: string } & Record<string, unknown>, sent?: SentUsage): Frame {
  return { event: data.type, data, ...(sent && { usage: sent }) };
}
