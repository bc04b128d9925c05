import { createServer } from 'node:http';

/** Takes its time with a request whose user is `slow`, ms. */
const SLOW_MS = 200;
/** A provider that answers at once: a short message, or the same as a stream of twenty events. A process of its own, as in life. */
const usage = { input_tokens: 8_000, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 20 };
const message = {
  id: 'msg_bench',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-6',
  content: [{ type: 'text', text: 'word '.repeat(16) }],
  usage,
};
const events = [
  { type: 'message_start', message: { ...message, content: [] } },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  ...Array.from({ length: 15 }, () => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'word ' } })),
  { type: 'content_block_stop', index: 0 },
  { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage },
  { type: 'message_stop' },
].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
const whole = JSON.stringify(message);

const server = createServer((req, res) => {
  let streamed = false;
  let delayMs = 0;
  req.once('data', (chunk: Buffer) => {
    streamed = chunk.includes('"stream":true');
    if (chunk.includes('"user_id":"slow"')) delayMs = SLOW_MS;
  });
  const answer = (): void => {
    if (!streamed) {
      res.writeHead(200, { 'content-type': 'application/json', 'content-length': whole.length }).end(whole);
      return;
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of events) res.write(event);
    res.end();
  };
  req.on('end', () => (delayMs === 0 ? answer() : setTimeout(answer, delayMs)));
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) process.send?.(`http://127.0.0.1:${address.port}`);
});
process.on('disconnect', () => process.exit());
