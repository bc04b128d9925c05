import { pieces } from './cut.ts';
import { chunkOf, MAX_CHUNK_CHARS, type Message } from './message.ts';

/** The first chunk passes at once, those of each 40 ms after it together, or as soon as they are this long. */
const JOIN_MS = 40;
const JOIN_CHARS = 4096;

interface Chunk {
  message: Message;
  content: { text: string };
  /** Equal for chunks that differ in their text only. */
  shape: string;
}

/**
 * Joins chunks of text that come fast, so that the cut is the same for every reader and the server's short memory of messages reaches
 * further back. `passOn` gets everything in the agent's order.
 */
export class JoinedChunks {
  readonly #passOn: (line: string) => void;
  #waiting: Chunk | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(passOn: (line: string) => void) {
    this.#passOn = passOn;
  }

  /** Takes a message and the line that it came as; what waits goes first. */
  add(message: Message, line: string): void {
    const chunk = asChunk(message);
    if (chunk === null) {
      this.flush();
      return this.#passOn(line);
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

  /** Whether there was something. */
  #write(): boolean {
    const chunk = this.#waiting;
    if (chunk === null) return false;
    this.#waiting = null;
    this.#pass(chunk, null);
    return true;
  }

  #pass({ message, content }: Chunk, line: string | null): void {
    if (content.text.length <= MAX_CHUNK_CHARS) return this.#passOn(line ?? JSON.stringify(message));
    for (const text of pieces(content.text, MAX_CHUNK_CHARS)) {
      content.text = text;
      this.#passOn(JSON.stringify(message));
    }
  }
}

function asChunk(message: Message): Chunk | null {
  const content = chunkOf(message);
  if (content === null) return null;
  const shape = JSON.stringify(message, (key, value: unknown) => (key === 'text' && typeof value === 'string' ? '' : value));
  return { message, content, shape };
}
