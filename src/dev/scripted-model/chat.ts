import { z } from 'zod';

import { openaiError } from './openai-error.ts';
import type { ConversationEntry, Frame, Part, ModelProtocol, Reply } from './protocol.ts';
import { textOf } from './reply.ts';
import type { SentUsage } from './usage.ts';

const contentSchema = z.union([z.string().transform((text) => [{ text }]), z.array(z.looseObject({ text: z.string().optional() }))]);

const requestSchema = z.looseObject({
  model: z.string(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  messages: z.array(z.looseObject({ role: z.string(), content: contentSchema.nullish() })).min(1),
  tools: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }).optional() })).default([]),
});

/** OpenAI Chat Completions: platform.openai.com/docs/api-reference/chat. It has no way to show thinking. */
export const chat: ModelProtocol = {
  name: 'chat',
  writesCache: false,

  read(body) {
    const { model, stream, stream_options: options, messages, tools } = requestSchema.parse(body);
    return {
      model,
      stream: stream === true,
      entries: messages.flatMap(toEntries),
      tools: tools.flatMap((tool) => tool.function?.name ?? []),
      streamUsage: options?.include_usage === true,
    };
  },

  whole(reply) {
    const calls = reply.parts.flatMap(toCall);
    const message = {
      role: 'assistant',
      content: textOf(reply.parts) || null,
      refusal: refusalOf(reply),
      annotations: [],
      ...(calls.length > 0 && { tool_calls: calls }),
    };
    const choices = [{ index: 0, message, logprobs: null, finish_reason: finishReason(reply) }];
    return { ...envelope(reply), object: 'chat.completion', choices, usage: usage(reply.usage) };
  },

  *frames(reply, { streamUsage }) {
    const chunk = (choices: object[], sent: SentUsage | null = null): Frame => ({
      data: { ...envelope(reply), object: 'chat.completion.chunk', choices, ...(streamUsage && { usage: sent && usage(sent) }) },
      ...(sent && { usage: sent }),
    });
    const delta = (content: object, finish: string | null = null): Frame =>
      chunk([{ index: 0, delta: content, logprobs: null, finish_reason: finish }]);
    yield delta({ role: 'assistant', content: '', refusal: null });
    for (const part of reply.parts) {
      if (part.is === 'break') yield part.how;
      if (part.is === 'call') yield delta({ tool_calls: toCall(part).map((call) => ({ index: 0, ...call })) });
      if (part.is !== 'text') continue;
      for (const content of part.chunks) {
        yield { waitMs: part.everyMs };
        yield delta({ content });
      }
    }
    const refusal = refusalOf(reply);
    if (refusal !== null) yield delta({ refusal });
    yield delta({}, finishReason(reply));
    if (streamUsage) yield chunk([], reply.usage);
    yield { data: '[DONE]' };
  },

  error: openaiError,
};

function toEntries({ role, content }: { role: string; content?: { text?: string | undefined }[] | null | undefined }): ConversationEntry[] {
  if (role === 'tool') return [{ is: 'result' }];
  if (role === 'user') return [{ is: 'prompt', text: (content ?? []).map(({ text }) => text ?? '').join('\n') }];
  return role === 'assistant' ? [{ is: 'other' }] : [];
}

function toCall(part: Part): object[] {
  if (part.is !== 'call') return [];
  return [{ id: `call_${part.id}`, type: 'function', function: { name: part.call.name, arguments: JSON.stringify(part.call.input) } }];
}

function finishReason({ parts, stop }: Reply): string {
  if (stop === 'max_tokens') return 'length';
  if (stop === 'content_filter') return stop;
  return parts.some(({ is }) => is === 'call') ? 'tool_calls' : 'stop';
}

function refusalOf({ stop }: Reply): string | null {
  return stop === 'refusal' ? 'I will not.' : null;
}

function envelope({ id, model, created }: Reply): object {
  return { id: `chatcmpl-${id}`, created, model, service_tier: 'default', system_fingerprint: null };
}

function usage({ input, cacheRead, output, reasoning }: SentUsage): object {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cacheRead, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}
