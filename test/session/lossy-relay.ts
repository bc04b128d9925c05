import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';

/** Stands between a worker and the server and loses messages of the stream, as the server's hand-over from replay to live does. */
export interface LossyRelay {
  port: number;
  /** Of the next `connections` that have such a message live, or in their replay, none gets it: one that holds the text. */
  lose(text: string, connections?: number): void;
  /** From now on each stream is broken after its first message. */
  breakStreams(): void;
  /** Messages that were lost. */
  readonly lost: number;
  /** Streams that were opened. */
  readonly streams: number;
  close(): Promise<void>;
}

export async function startLossyRelay(port: number): Promise<LossyRelay> {
  const losses: { text: string; left: number }[] = [];
  let lost = 0;
  let streams = 0;
  let breaks = false;
  const relay = (incoming: IncomingMessage, response: ServerResponse): void => {
    const { method, headers, url: path } = incoming;
    const isStream = headers.accept === 'text/event-stream';
    if (isStream) streams += 1;
    const onward = request({ host: '127.0.0.1', port, method, headers, path }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.on('error', () => response.destroy());
      if (!isStream) return void answer.pipe(response);
      let rest = '';
      answer.setEncoding('utf8').on('data', (data: string) => {
        const events = `${rest}${data}`.split('\n\n');
        rest = events.pop() ?? '';
        for (const event of events) {
          const loss = losses.find(({ text, left }) => left > 0 && event.includes(text));
          if (loss === undefined) response.write(`${event}\n\n`, () => breaks && response.destroy());
          else {
            loss.left -= 1;
            lost += 1;
          }
        }
      });
      answer.on('end', () => response.end());
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    incoming.pipe(onward);
  };
  const server = createServer(relay);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    lose: (text, connections = 1) => void losses.push({ text, left: connections }),
    breakStreams: () => void (breaks = true),
    get lost() {
      return lost;
    },
    get streams() {
      return streams;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
