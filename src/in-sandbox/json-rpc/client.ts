import { isObject, parseObject, type Json } from './json.ts';
import { MAX_CLIENT_LINE_BYTES, readLines } from './lines.ts';

export const METHOD_NOT_FOUND = -32601;
export const INVALID_PARAMS = -32602;
export const INTERNAL_ERROR = -32603;

/** The error with which a request is answered. Its message reaches the client. */
export class RpcError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Returns the result of a request or a notification. Throws `RpcError`. */
export type Handler = (method: string, params: Json) => Promise<object>;

/** The client of an agent, on stdin and stdout: JSON-RPC 2.0, one message per line. */
export class Client {
  /** Our requests that the client has not answered yet. */
  readonly #open = new Map<unknown, (result: unknown) => void>();
  #requests = 0;

  /** Answers the client’s requests, several at a time. The process exits when stdin ends. */
  serve(handle: Handler, onEnd: () => void = () => {}): void {
    readLines(process.stdin, MAX_CLIENT_LINE_BYTES, { onLine: (line) => void this.#receive(line, handle), onTooLong: () => {} });
    process.stdin.on('close', () => {
      onEnd();
      process.exit();
    });
  }

  notify(method: string, params: object): void {
    this.#send({ method, params });
  }

  /** Resolves to the result of a request; undefined where the client answers with an error. */
  async request(method: string, params: object): Promise<unknown> {
    const id = (this.#requests += 1);
    return await new Promise((resolve) => {
      this.#open.set(id, resolve);
      this.#send({ id, method, params });
    });
  }

  async #receive(line: string, handle: Handler): Promise<void> {
    const { id, method, params, result } = parseObject(line) ?? {};
    if (typeof method !== 'string') {
      this.#open.get(id)?.(result);
      this.#open.delete(id);
      return;
    }
    const answer = await handle(method, isObject(params) ? params : {}).then(
      (value) => ({ result: value }),
      (error: unknown) => ({ error: describeError(error) }),
    );
    if (id !== undefined) this.#send({ id, ...answer });
  }

  #send(message: object): void {
    process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }
}

/** Describes an error for the client. Of a system error only the code is passed on, since its message may hold anything. */
function describeError(error: unknown): { code: number; message: string } {
  if (error instanceof RpcError) return { code: error.code, message: error.message };
  const code = error instanceof Error && 'code' in error ? `: ${String(error.code)}` : '';
  return { code: INTERNAL_ERROR, message: `The agent failed${code}.` };
}
