import type { Backlog } from './backlog.ts';
import { ChunkJoiner } from './chunk-joiner.ts';
import type { Message } from './message.ts';

/** Sends messages to the server, on stdout. */
export class Output {
  readonly #backlog: Backlog;
  readonly #chunks = new ChunkJoiner((line) => this.#write(line));
  #sent = 0;

  constructor(backlog: Backlog) {
    this.#backlog = backlog;
  }

  /** The number of messages sent; the server counts them, too. A message that waits to be joined is not sent yet. */
  get sent(): number {
    return this.#sent;
  }

  /** Sends a message of the agent. Chunks of text are joined; `line` is the message as it arrived. */
  send(message: Message, line: string): void {
    this.#chunks.add(message, line);
  }

  /** Sends a notification of ours. */
  notify(method: string, params?: object): void {
    const message = { jsonrpc: '2.0', method, params };
    this.send(message, JSON.stringify(message));
  }

  /** Sends what waits, and calls back when everything is written. */
  flush(onWritten: () => void): void {
    this.#chunks.flush();
    process.stdout.write('', onWritten);
  }

  /** The backlog is written first: everything that a reader has seen is in it. */
  #write(line: string): void {
    this.#sent += 1;
    this.#backlog.add(line, this.#sent);
    process.stdout.write(`${line}\n`);
  }
}
