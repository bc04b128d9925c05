import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Then the file begins anew. */
const MAX_BYTES = 32 * 1024 * 1024;

/** What was passed on to the server, in a file: its first line tells the number of the next. The server forgets earlier than the file. */
export class KeptLines {
  readonly #file: string;
  /** At first there is none of this process. */
  #bytes = Infinity;

  constructor(file: string) {
    this.#file = file;
  }

  /** What cannot be kept is a gap for the one who misses it. */
  add(line: string, number: number): void {
    const text = `${line}\n`;
    try {
      if (this.#bytes > MAX_BYTES) {
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
