import type { IncomingMessage } from 'node:http';

import { refusal, type Refusal } from '../server/refusal.ts';
import type { HeldBytes } from './memory.ts';

const MAX_BODY_BYTES = 32 * 1024 * 1024;
const FIRST_BYTES = 64 * 1024;
/** A body that has grown to this gets the room for all of it: the copy of what came before takes a millisecond or two. */
const WHOLE_FROM_BYTES = 4 * 1024 * 1024;

/**
 * Collects a request's body, within what its key may hold. A refusal where it is too large, compressed, finds no memory, or where its
 * caller left or `signal` gave it up meanwhile. Throws nothing.
 */
export async function collectBody(req: IncomingMessage, memory: HeldBytes, signal: AbortSignal): Promise<Buffer | Refusal> {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') return refusal('llm_rejected', 'The gateway reads no compressed request bodies.', 415);
  const stated = req.headers['content-length'];
  if (stated !== undefined && Number(stated) > MAX_BODY_BYTES) return tooLarge();
  // It left while its key was looked up, and says so no more.
  if (signal.aborted || req.destroyed) return refusal('cancelled', 'The caller left.');
  // What is only stated takes no memory from others.
  const most = stated === undefined ? MAX_BODY_BYTES : Number(stated);
  const room = Math.max(1, Math.min(most, FIRST_BYTES));
  if (!memory.grow(room)) return noMemory();
  return new Promise((resolve) => {
    const body = new GrowingBuffer(room, most);
    const end = (result: Buffer | Refusal): void => {
      req.off('data', onData).off('end', onEnd).off('error', onLeft).off('close', onLeft);
      signal.removeEventListener('abort', onLeft);
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      if (body.length + chunk.length > MAX_BODY_BYTES) return end(tooLarge());
      const missing = body.missing(chunk.length);
      if (missing > 0 && !memory.grow(missing)) return end(noMemory());
      body.append(chunk);
      return undefined;
    };
    const onEnd = (): void => end(body.bytes());
    const onLeft = (): void => end(refusal('cancelled', 'The caller left.'));
    req.on('data', onData).once('end', onEnd).once('error', onLeft).once('close', onLeft);
    signal.addEventListener('abort', onLeft, { once: true });
  });
}

/** One copy of each byte, none of a body that comes in one piece. */
class GrowingBuffer {
  length = 0;
  #room: number;
  readonly #most: number;
  #only: Buffer | null = null;
  #buffer: Buffer | null = null;

  constructor(room: number, most: number) {
    this.#room = room;
    this.#most = most;
  }

  /** Bytes of room that are missing for so many more; the room doubles. */
  missing(more: number): number {
    const needed = this.length + more;
    return needed <= this.#room ? 0 : Math.max(needed, Math.min(2 * this.#room, this.#most)) - this.#room;
  }

  append(chunk: Buffer): void {
    this.#room += this.missing(chunk.length);
    if (this.length === 0) {
      this.#only = chunk;
    } else {
      if (this.#buffer === null || this.#buffer.length < this.length + chunk.length) this.#grow();
      this.#buffer?.set(chunk, this.length);
      this.#only = null;
    }
    this.length += chunk.length;
  }

  bytes(): Buffer {
    return this.#only ?? this.#buffer?.subarray(0, this.length) ?? Buffer.alloc(0);
  }

  #grow(): void {
    // Pages that nothing was written to take no memory, and the last copies would be the long ones.
    const larger = Buffer.allocUnsafeSlow(this.#room >= WHOLE_FROM_BYTES ? this.#most : this.#room);
    larger.set(this.bytes());
    this.#buffer = larger;
  }
}

function tooLarge(): Refusal {
  return refusal('llm_rejected', `The request body is larger than ${MAX_BODY_BYTES} bytes.`, 413);
}

function noMemory(): Refusal {
  return refusal('rate_limited', 'Too many bytes of request bodies are in flight. Repeat the request in a second.');
}
