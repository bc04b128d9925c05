import { pieces } from './cut.ts';
import { chunkOf, MAX_CHUNK_CHARS, type Message } from './message.ts';

/** The first chunk is sent at once; later ones are sent together every 40 ms, or as soon as they have this many characters. */
const JOIN_MS = 40;
const JOIN_CHARS = 4096;

interface Chunk {
  message: Message;
  content: { text: string };
  /** Equal for chunks that differ in their text only. */
  shape: string;
}

/**
 * Joins chunks of text that arrive in quick succession, so that every reader receives the same chunks and the server’s short
 * message buffer reaches further back. `sendLine` receives all lines in the agent’s order.
 */
export class ChunkJoiner {
  readonly #sendLine: (line: string) => void;
  #waiting: Chunk | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(sendLine: (line: string) => void) {
    this.#sendLine = sendLine;
  }

  /** Adds a message and its original line. Waiting chunks are sent first. */
  add(message: Message, line: string): void {
    const chunk = asChunk(message);
    if (chunk === null) {
      this.flush();
      return this.#sendLine(line);
    }
    if (this.#waiting !== null && this.#waiting.shape === chunk.shape) {
      this.#waiting.content.text += chunk.content.text;
      if (this.#waiting.content.text.length >= JOIN_CHARS) this.#write();
    } else if (this.#timer === null) {
      this.flush();
      this.#pass(chunk, line);
      this.#timer = setTimeout(this.#onTimer, JOIN_MS);
    } else {
      this.#write();
      this.#waiting = chunk;
    }
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#write();
  }

  readonly #onTimer = (): void => {
    this.#timer = this.#write() ? setTimeout(this.#onTimer, JOIN_MS) : null;
  };

  /** Sends the waiting chunk; false where there is none. */
  #write(): boolean {
    const chunk = this.#waiting;
    if (chunk === null) return false;
    this.#waiting = null;
    this.#pass(chunk, null);
    return true;
  }

  #pass({ message, content }: Chunk, line: string | null): void {
    if (content.text.length <= MAX_CHUNK_CHARS) return this.#sendLine(line ?? JSON.stringify(message));
    for (const text of pieces(content.text, MAX_CHUNK_CHARS)) {
      content.text = text;
      this.#sendLine(JSON.stringify(message));
    }
  }
}

function asChunk(message: Message): Chunk | null {
  const content = chunkOf(message);
  if (content === null) return null;
  const shape = JSON.stringify(message, (key, value: unknown) => (key === 'text' && typeof value === 'string' ? '' : value));
  return { message, content, shape };
}
