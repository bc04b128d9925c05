import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Break, Frame, ModelProtocol } from './protocol.ts';
import { usdOf, type SentUsage } from './usage.ts';

/** A request that was answered, broken off or given up. */
export interface ServedRequest {
  protocol: ModelProtocol['name'] | 'count_tokens' | 'models' | 'unknown';
  model: string | null;
  stream: boolean;
  /** HTTP status; null when it ended before the headers. */
  status: number | null;
  /** The last figures that the caller was sent, or null. */
  usage: SentUsage | null;
  /** USD, what the provider would charge for `usage`; null without usage or without a price. */
  usd: number | null;
  /** The caller closed the connection before the end of the answer. */
  hungUp: boolean;
  /** Epoch ms. */
  startedAt: number;
  endedAt: number;
}

/** One request on its way: tells the answer and keeps the record, which is complete before the last byte is sent. */
export class ModelExchange {
  readonly #response: ServerResponse;
  readonly #onEnd: (record: ServedRequest) => void;
  readonly #closed = new AbortController();
  readonly #startedAt = Date.now();
  #about: Pick<ServedRequest, 'protocol' | 'model' | 'stream'> = { protocol: 'unknown', model: null, stream: false };
  #usage: SentUsage | null = null;
  #ended = false;

  constructor(response: ServerResponse, onEnd: (record: ServedRequest) => void) {
    this.#response = response;
    this.#onEnd = onEnd;
    response.on('close', () => {
      this.#closed.abort();
      this.#end(true);
    });
  }

  describe(about: ServedRequest['protocol'], model: string | null = null, stream = false): void {
    this.#about = { protocol: about, model, stream };
  }

  json(status: number, body: object, usage: SentUsage | null = null): void {
    this.#response.writeHead(status, { 'content-type': 'application/json' });
    this.#usage = usage;
    this.#end(false);
    this.#response.end(JSON.stringify(body));
  }

  /** Sends server-sent events. */
  async events(frames: Iterable<Frame>): Promise<void> {
    for (const frame of frames) {
      if (typeof frame === 'string') return this.stop(frame);
      if ('waitMs' in frame) await this.wait(frame.waitMs);
      else this.#write(frame);
    }
    this.#end(false);
    this.#response.end();
  }

  /** What was written before arrives. An exchange that hangs ends when its caller goes. */
  async stop(how: Break): Promise<void> {
    if (how === 'die') await this.#destroy('\n');
  }

  /** Breaks the connection in the middle of a body. */
  async torn(body: object): Promise<void> {
    const json = JSON.stringify(body);
    this.#response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
    await this.#destroy(json.slice(0, json.length / 2));
  }

  /** Rejects when the caller hangs up in the meantime. */
  async wait(ms: number): Promise<void> {
    if (ms > 0) await sleep(ms, undefined, { signal: this.#closed.signal });
  }

  async #destroy(lastWords: string): Promise<void> {
    this.#end(false);
    await new Promise((sent) => this.#response.write(lastWords, sent));
    this.#response.destroy();
  }

  #write({ event, data, usage }: Exclude<Frame, { waitMs: number } | Break>): void {
    if (!this.#response.headersSent) this.#response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    if (usage !== undefined) this.#usage = usage;
    const name = event === undefined ? '' : `event: ${event}\n`;
    this.#response.write(`${name}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
  }

  #end(hungUp: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    const { model } = this.#about;
    this.#onEnd({
      ...this.#about,
      status: this.#response.headersSent ? this.#response.statusCode : null,
      usage: this.#usage,
      usd: this.#usage === null || model === null ? null : usdOf(model, this.#usage),
      hungUp,
      startedAt: this.#startedAt,
      endedAt: Date.now(),
    });
  }
}
