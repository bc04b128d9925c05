import { once } from 'node:events';
import { createServer, request as sendRequest, type IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';

/** A request as the provider received it. */
export interface ReceivedRequest {
  headers: IncomingHttpHeaders;
  body: string;
}

/** A provider that accepts every credential, and records what it receives. */
export interface RecordingUpstream {
  url: string;
  /** The requests whose body contains a mark, in order. */
  received(mark: string): readonly ReceivedRequest[];
  close(): Promise<void>;
}

/** Starts one in front of another server, which answers. */
export async function startRecordingUpstream(answeredBy: string): Promise<RecordingUpstream> {
  const requests: ReceivedRequest[] = [];
  const server = createServer((req, res) => {
    void buffer(req).then((body) => {
      requests.push({ headers: req.headers, body: body.toString() });
      const { host: _host, ...headers } = req.headers;
      const passed = sendRequest(`${answeredBy}${req.url ?? ''}`, { method: req.method, headers }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(res);
      });
      passed.on('error', () => res.destroy());
      res.on('close', () => passed.destroy());
      passed.end(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not on a port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    received: (mark) => requests.filter(({ body }) => body.includes(mark)),
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
