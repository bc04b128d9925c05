import type { IncomingMessage } from 'node:http';

import { refusal, type Refusal } from '../server/refusal.ts';
import type { HeldBytes } from './memory.ts';

const MAX_BODY_BYTES = 32 * 1024 * 1024;
const INITIAL_BUFFER_BYTES = 64 * 1024;
/** A body that has grown to this size gets a buffer for all of it at once: copying the part so far takes a millisecond or two. */
const FULL_BUFFER_FROM_BYTES = 4 * 1024 * 1024;

/**
 * Collects a request's body, within the memory limits of its key. Resolves to a refusal where the body is too large or compressed, where
 * no memory is free, or where the caller disconnected or `signal` was aborted meanwhile. Throws nothing.
 */
export async function collectBody(req: IncomingMessage, memory: HeldBytes, signal: AbortSignal): Promise<Buffer | Refusal> {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity')
    return refusal('llm_rejected', 'The gateway does not accept compressed request bodies. Send the body uncompressed.', 415);
  const stated = req.headers['content-length'];
  if (stated !== undefined && Number(stated) > MAX_BODY_BYTES) return tooLarge();
  // A caller that disconnected during the key look-up emits no further event.
  if (signal.aborted || req.destroyed) return refusal('cancelled', 'The caller disconnected.');
  // A stated length reserves no memory before the bytes arrive.
  const most = stated === undefined ? MAX_BODY_BYTES : Number(stated);
  const room = Math.max(1, Math.min(most, INITIAL_BUFFER_BYTES));
  if (!memory.grow(room)) return noMemory();
  return new Promise((resolve) => {
    const body = new GrowingBuffer(room, most);
    const end = (result: Buffer | Refusal): void => {
      req.off('data', onData).off('end', onEnd).off('error', onDisconnect).off('close', onDisconnect);
      signal.removeEventListener('abort', onDisconnect);
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
    const onDisconnect = (): void => end(refusal('cancelled', 'The caller disconnected.'));
    req.on('data', onData).once('end', onEnd).once('error', onDisconnect).once('close', onDisconnect);
    signal.addEventListener('abort', onDisconnect, { once: true });
  });
}

/** A buffer that copies each byte about once, and copies nothing of a body that arrives in one chunk. */
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

  /** Returns how many bytes the buffer has to grow by for `more` bytes; it at least doubles. */
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
    // Pages that were never written to take no memory, and the copies at large sizes would be the slow ones.
    const larger = Buffer.allocUnsafeSlow(this.#room >= FULL_BUFFER_FROM_BYTES ? this.#most : this.#room);
    larger.set(this.bytes());
    this.#buffer = larger;
  }
}

function tooLarge(): Refusal {
  return refusal('llm_rejected', `The request body is larger than the limit of ${MAX_BODY_BYTES} bytes.`, 413);
}

function noMemory(): Refusal {
  return refusal('rate_limited', 'Too many bytes of request bodies are in flight. Retry in a second.');
}
