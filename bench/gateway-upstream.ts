import { createServer } from 'node:http';

/*
 * A provider that answers at once, in each of the protocols: a short message, or the same as a stream of some twenty events. A process of
 * its own, as in life.
 */

/** Takes its time with a request whose user is `slow`, ms. */
const SLOW_MS = 200;
const WORDS = 15;
const words = Array.from({ length: WORDS }, () => 'word ');

interface Answer {
  whole: string;
  events: string[];
}

const messageUsage = { input_tokens: 8_000, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 20 };
const message = {
  id: 'msg_bench',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-6',
  content: [{ type: 'text', text: words.join('') }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: messageUsage,
};
const messages: Answer = {
  whole: JSON.stringify(message),
  events: named([
    { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    ...words.map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: messageUsage },
    { type: 'message_stop' },
  ]),
};

const completion = { id: 'chatcmpl-bench', created: 1_700_000_000, model: 'gpt-5.1' };
const chatUsage = { prompt_tokens: 8_000, completion_tokens: 20, total_tokens: 8_020 };
const chunk = (delta: object, finish: string | null): object => ({
  ...completion,
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta, finish_reason: finish }],
});
const chat: Answer = {
  whole: JSON.stringify({
    ...completion,
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: words.join('') }, finish_reason: 'stop' }],
    usage: chatUsage,
  }),
  events: [
    chunk({ role: 'assistant', content: '' }, null),
    ...words.map((content) => chunk({ content }, null)),
    chunk({}, 'stop'),
    { ...completion, object: 'chat.completion.chunk', choices: [], usage: chatUsage },
  ]
    .map((event) => `data: ${JSON.stringify(event)}\n\n`)
    .concat('data: [DONE]\n\n'),
};

const part = { type: 'output_text', text: words.join(''), annotations: [] };
const item = { type: 'message', id: 'msg_bench', status: 'completed', role: 'assistant', content: [part] };
const response = {
  id: 'resp_bench',
  object: 'response',
  created_at: 1_700_000_000,
  status: 'completed',
  model: 'gpt-5.1',
  output: [item],
  parallel_tool_calls: true,
  tool_choice: 'auto',
  tools: [],
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: {},
  temperature: 1,
  top_p: 1,
  usage: {
    input_tokens: 8_000,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 20,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 8_020,
  },
};
const place = { item_id: item.id, output_index: 0, content_index: 0 };
const responses: Answer = {
  whole: JSON.stringify(response),
  events: named(
    [
      { type: 'response.created', response: { ...response, status: 'in_progress', output: [], usage: null } },
      { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
      { type: 'response.content_part.added', ...place, part: { ...part, text: '' } },
      ...words.map((delta) => ({ type: 'response.output_text.delta', ...place, delta })),
      { type: 'response.output_text.done', ...place, text: part.text },
      { type: 'response.content_part.done', ...place, part },
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.completed', response },
    ].map((event, sequence_number) => ({ ...event, sequence_number })),
  ),
};

function named(events: readonly { type: string; [field: string]: unknown }[]): string[] {
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}

/** Gateways write JSON with and without spaces. */
const STREAMED = ['"stream":true', '"stream": true'];

function answerTo(path: string): Answer {
  if (path.endsWith('/chat/completions')) return chat;
  return path.endsWith('/responses') ? responses : messages;
}

const server = createServer((req, res) => {
  const chunks: Buffer[] = [];
  req.on('data', (data: Buffer) => chunks.push(data));
  const { whole, events } = answerTo(req.url ?? '');
  const answer = (isStreamed: boolean): void => {
    if (!isStreamed) {
      res.writeHead(200, { 'content-type': 'application/json', 'content-length': whole.length }).end(whole);
      return;
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of events) res.write(event);
    res.end();
  };
  req.on('end', () => {
    const body = Buffer.concat(chunks);
    const isStreamed = STREAMED.some((text) => body.includes(text));
    if (body.includes('"user_id":"slow"')) setTimeout(answer, SLOW_MS, isStreamed);
    else answer(isStreamed);
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) process.send?.(`http://127.0.0.1:${address.port}`);
});
process.on('disconnect', () => process.exit());
