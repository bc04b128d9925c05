import { CLAUDE, GPT } from './models.ts';

/** What an answer of a provider states. */
export interface Stated {
  inputTokens: number;
  outputTokens: number;
  /** Fields of the usage, and of the whole answer. */
  usage?: object;
  more?: object;
  text?: string;
}

/** A whole answer of the provider, by the path that was asked. */
export function wholeAnswer(path: string, { inputTokens, outputTokens, usage, more, text = 'word' }: Stated): object {
  if (path.startsWith('/v1/messages/count_tokens')) return { input_tokens: inputTokens };
  if (path.startsWith('/v1/messages')) {
    return {
      id: 'msg_proof',
      type: 'message',
      role: 'assistant',
      model: CLAUDE,
      content: [{ type: 'text', text }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: inputTokens,
        output_tokens: outputTokens,
        cache_read_input_tokens: 0,
        cache_creation_input_tokens: 0,
        ...usage,
      },
      ...more,
    };
  }
  if (path.startsWith('/v1/responses')) {
    return {
      id: 'resp_proof',
      object: 'response',
      status: 'completed',
      model: GPT,
      output: [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text, annotations: [] }] }],
      usage: { input_tokens: inputTokens, output_tokens: outputTokens, total_tokens: inputTokens + outputTokens, ...usage },
      ...more,
    };
  }
  return {
    id: 'chatcmpl_proof',
    object: 'chat.completion',
    model: GPT,
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage: { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens, ...usage },
    ...more,
  };
}

/** The same as server-sent events: those with the text, and those after it with the usage. */
export function streamedAnswer(path: string, stated: Stated): { text: string[]; usage: string[] } {
  const whole = wholeAnswer(path, stated);
  const text = stated.text ?? 'word';
  if (path.startsWith('/v1/messages')) {
    const { inputTokens, outputTokens, usage } = stated;
    return {
      text: [
        event({ type: 'message_start', message: { ...whole, content: [], usage: { input_tokens: inputTokens, output_tokens: 1 } } }),
        event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
        event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
      ],
      usage: [
        event({ type: 'content_block_stop', index: 0 }),
        event({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: outputTokens, ...usage } }),
        event({ type: 'message_stop' }),
      ],
    };
  }
  if (path.startsWith('/v1/responses')) {
    return {
      text: [event({ type: 'response.output_text.delta', delta: text })],
      usage: [event({ type: 'response.completed', response: whole })],
    };
  }
  const chunk = { id: 'chatcmpl_proof', object: 'chat.completion.chunk', model: GPT };
  const total = stated.inputTokens + stated.outputTokens;
  const usage = { prompt_tokens: stated.inputTokens, completion_tokens: stated.outputTokens, total_tokens: total, ...stated.usage };
  return {
    text: [event({ ...chunk, choices: [{ index: 0, delta: { content: text } }] })],
    usage: [event({ ...chunk, choices: [], usage, ...stated.more }), 'data: [DONE]\n\n'],
  };
}

function event(data: object): string {
  const name = 'type' in data ? `event: ${String(data.type)}\n` : '';
  return `${name}data: ${JSON.stringify(data)}\n\n`;
}
