/**
 * Presents a remote MCP server (Streamable HTTP) as one on stdin and stdout: `node mcp-http.ts <url> [<header>=<value>…]`. So every
 * agent takes it alike, its connections follow the proxy of the sandbox, and a secret in a header stays in its file until the request.
 */
import { isObject, parseObject, type Json } from '../json-rpc/json.ts';
import { MAX_CLIENT_LINE_BYTES, readLines } from '../json-rpc/lines.ts';
import { RemoteServer } from './remote-server.ts';

/** The JSON-RPC error code with which a request is answered that the server did not answer. */
const SERVER_ERROR = -32000;
const GOODBYE_TIMEOUT_MS = 1000;

const [url = '', ...headers] = process.argv.slice(2);
const server = new RemoteServer(url, headers);
/** Resolves when the notifications before are delivered: what follows them is sent after them. */
let notified: Promise<unknown> = Promise.resolve();

readLines(process.stdin, MAX_CLIENT_LINE_BYTES, { onLine: forward, onTooLong: () => {} });
process.stdin.on('close', () => {
  setTimeout(() => process.exit(), GOODBYE_TIMEOUT_MS);
  void server.close().finally(() => process.exit());
});

function forward(line: string): void {
  const message = parseObject(line);
  if (message === null) return;
  const delivered = notified.then(() => deliver(message));
  if (message['id'] === undefined) notified = delivered;
}

async function deliver(message: Json): Promise<void> {
  const { id, method } = message;
  let isAnswered = false;
  const pass = (answer: unknown): void => {
    if (!isObject(answer)) return;
    isAnswered ||= answer['id'] === id && answer['method'] === undefined;
    write(answer);
  };
  const failure = await server.send(message, pass).catch((error: Error) => error.message);
  if (isAnswered || id === undefined || typeof method !== 'string') return;
  write({ jsonrpc: '2.0', id, error: { code: SERVER_ERROR, message: failure ?? 'The MCP server did not answer.' } });
}

function write(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
