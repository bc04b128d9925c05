import { z } from 'zod';

import { openaiError } from './openai-error.ts';
import type { ConversationEntry, Frame, Part, ModelProtocol, Reply } from './protocol.ts';
import type { SentUsage } from './usage.ts';

const contentSchema = z.union([
  z.string().transform((text) => [{ type: 'input_text', text }]),
  z.array(z.looseObject({ type: z.string(), text: z.string().optional() })),
]);
const itemSchema = z.looseObject({ type: z.string().default('message'), role: z.string().optional(), content: contentSchema.nullish() });

const requestSchema = z.looseObject({
  model: z.string(),
  stream: z.boolean().nullish(),
  input: z.union([z.string().transform((content) => itemSchema.array().parse([{ role: 'user', content }])), z.array(itemSchema)]),
  tools: z.array(z.looseObject({ name: z.string().optional() })).default([]),
});

/** OpenAI Responses: platform.openai.com/docs/api-reference/responses. */
export const responses: ModelProtocol = {
  name: 'responses',
  writesCache: false,

  read(body) {
    const { model, stream, input, tools } = requestSchema.parse(body);
    return {
      model,
      stream: stream === true,
      entries: input.flatMap(toEntries),
      tools: tools.flatMap(({ name }) => name ?? []),
      streamUsage: true,
    };
  },

  whole: (reply) => {
    const reason = incompleteReason(reply);
    return {
      ...envelope(reply, reason === null ? 'completed' : 'incomplete'),
      output: [...reply.parts.flatMap(wholeItem), ...refusalItems(reply)],
      incomplete_details: reason === null ? null : { reason },
      usage: usage(reply.usage),
    };
  },

  *frames(reply) {
    let next = 0;
    for (const step of events(reply)) {
      if (typeof step === 'object' && 'data' in step && typeof step.data === 'object') {
        yield { ...step, data: { ...step.data, sequence_number: next++ } };
      } else yield step;
    }
  },

  error: openaiError,
};

function toEntries({ type, role, content }: z.output<typeof itemSchema>): ConversationEntry[] {
  if (type.endsWith('_output')) return [{ is: 'result' }];
  if (type !== 'message') return [{ is: 'other' }];
  if (role === 'user') return [{ is: 'prompt', text: (content ?? []).map(({ text }) => text ?? '').join('\n') }];
  return role === 'assistant' ? [{ is: 'other' }] : [];
}

function* events(reply: Reply): Generator<Frame> {
  yield frame('response.created', { response: envelope(reply, 'in_progress') });
  yield frame('response.in_progress', { response: envelope(reply, 'in_progress') });
  for (const [index, part] of reply.parts.entries()) yield* itemFrames(index, part);
  for (const [index, item] of refusalItems(reply).entries()) {
    yield frame('response.output_item.done', { output_index: reply.parts.length + index, item });
  }
  yield frame(
    incompleteReason(reply) === null ? 'response.completed' : 'response.incomplete',
    { response: responses.whole(reply) },
    reply.usage,
  );
}

function incompleteReason({ stop }: Reply): string | null {
  if (stop === 'max_tokens') return 'max_output_tokens';
  return stop === 'content_filter' ? stop : null;
}

function refusalItems({ id, stop }: Reply): object[] {
  if (stop !== 'refusal') return [];
  const content = [{ type: 'refusal', refusal: 'I will not.' }];
  return [{ type: 'message', id: `refusal_${id}`, status: 'completed', role: 'assistant', content }];
}

function* itemFrames(index: number, part: Part): Generator<Frame> {
  if (part.is === 'break') {
    yield part.how;
    return;
  }
  const [item] = wholeItem(part, index);
  const at = { item_id: itemId(part, index), output_index: index };
  yield frame('response.output_item.added', { output_index: index, item: emptyItem(part, index) });
  switch (part.is) {
    case 'text':
      yield* textFrames({ ...at, content_index: 0 }, part);
      break;
    case 'thinking':
      yield* thinkingFrames({ ...at, summary_index: 0 }, part.text);
      break;
    case 'call': {
      const json = JSON.stringify(part.call.input);
      yield frame('response.function_call_arguments.delta', { ...at, delta: json });
      yield frame('response.function_call_arguments.done', { ...at, name: part.call.name, arguments: json });
    }
  }
  yield frame('response.output_item.done', { output_index: index, item });
}

function* textFrames(at: object, { chunks, everyMs }: Extract<Part, { is: 'text' }>): Generator<Frame> {
  const text = chunks.join('');
  yield frame('response.content_part.added', { ...at, part: outputText('') });
  for (const delta of chunks) {
    yield { waitMs: everyMs };
    yield frame('response.output_text.delta', { ...at, delta, logprobs: [] });
  }
  yield frame('response.output_text.done', { ...at, text, logprobs: [] });
  yield frame('response.content_part.done', { ...at, part: outputText(text) });
}

function* thinkingFrames(at: object, text: string): Generator<Frame> {
  yield frame('response.reasoning_summary_part.added', { ...at, part: { type: 'summary_text', text: '' } });
  yield frame('response.reasoning_summary_text.delta', { ...at, delta: text });
  yield frame('response.reasoning_summary_text.done', { ...at, text });
  yield frame('response.reasoning_summary_part.done', { ...at, part: { type: 'summary_text', text } });
}

function wholeItem(part: Part, index: number): object[] {
  const id = itemId(part, index);
  switch (part.is) {
    case 'text':
      return [{ type: 'message', id, status: 'completed', role: 'assistant', content: [outputText(part.chunks.join(''))] }];
    case 'thinking':
      return [{ type: 'reasoning', id, summary: [{ type: 'summary_text', text: part.text }], encrypted_content: null }];
    case 'call':
      return [call(part, id, 'completed', JSON.stringify(part.call.input))];
    case 'break':
      return [];
  }
}

function emptyItem(part: Exclude<Part, { is: 'break' }>, index: number): object {
  const id = itemId(part, index);
  if (part.is === 'text') return { type: 'message', id, status: 'in_progress', role: 'assistant', content: [] };
  return part.is === 'thinking' ? { type: 'reasoning', id, summary: [] } : call(part, id, 'in_progress', '');
}

function call(part: Extract<Part, { is: 'call' }>, id: string, status: string, json: string): object {
  return {
    type: 'function_call',
    id,
    status,
    call_id: `call_${part.id}`,
    name: part.call.name,
    namespace: part.call.namespace,
    arguments: json,
  };
}

function itemId(part: Part, index: number): string {
  return part.is === 'call' ? `fc_${part.id}` : `item_${index}`;
}

function outputText(text: string): object {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function envelope({ id, model, created }: Reply, status: 'in_progress' | 'completed' | 'incomplete'): object {
  return {
    id: `resp_${id}`,
    object: 'response',
    created_at: created,
    status,
    model,
    output: [],
    error: null,
    incomplete_details: null,
    instructions: null,
    metadata: {},
    parallel_tool_calls: true,
    temperature: 1,
    top_p: 1,
    tool_choice: 'auto',
    tools: [],
    usage: null,
  };
}

function usage({ input, cacheRead, output, reasoning }: SentUsage): object {
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cacheRead },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}

function frame(type: string, body: object, sent?: SentUsage): Frame {
  return { event: type, data: { type, ...body }, ...(sent && { usage: sent }) };
}
