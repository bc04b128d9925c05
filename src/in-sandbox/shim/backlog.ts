import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** The file is started again at this size. */
const MAX_FILE_BYTES = 32 * 1024 * 1024;

/**
 * Appends the messages sent to the server to a file, which reaches further back than the server’s own buffer. The first line of
 * the file holds the number of the next one.
 */
export class Backlog {
  readonly #file: string;
  /** Infinity makes the first message of this process start the file again. */
  #bytes = Infinity;

  constructor(file: string) {
    this.#file = file;
  }

  /** Appends a line. A line that cannot be written is a gap for its reader. */
  add(line: string, number: number): void {
    const text = `${line}\n`;
    try {
      if (this.#bytes > MAX_FILE_BYTES) {
        mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
        writeFileSync(this.#file, `${JSON.stringify({ first: number })}\n`, { mode: 0o600 });
        this.#bytes = 0;
      }
      appendFileSync(this.#file, text);
      this.#bytes += Buffer.byteLength(text);
    } catch {
      this.#bytes = Infinity;
    }
  }
}
