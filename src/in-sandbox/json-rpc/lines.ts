import type { Readable } from 'node:stream';

/** The longest message of the client of an agent. A prompt has at most 256 KiB. */
export const MAX_CLIENT_LINE_BYTES = 16 * 1024 * 1024;
/** So much of a line that is too long is passed on. */
export const HEAD_BYTES = 4096;

export interface LineHandlers {
  /** Receives a line without its terminator; invalid UTF-8 becomes U+FFFD. */
  onLine: (text: string) => void;
  /** Receives the first 4 KiB of a line longer than `maxBytes`, and its length in bytes. */
  onTooLong: (head: string, bytes: number) => void;
}

/**
 * Reads lines that end with LF or CRLF only: Node’s readline also splits at U+2028 and at a lone CR, which may occur in JSON
 * strings. Holds at most `maxBytes` of a line.
 */
export function readLines(stream: Readable, maxBytes: number, { onLine, onTooLong }: LineHandlers): void {
  let parts: Buffer[] = [];
  let bytes = 0;

  const take = (part: Buffer): void => {
    bytes += part.length;
    parts.push(part);
    if (bytes > maxBytes && parts.length > 1) parts = [Buffer.concat(parts).subarray(0, HEAD_BYTES)];
  };
  const finish = (): void => {
    const whole = Buffer.concat(parts);
    const length = bytes;
    parts = [];
    bytes = 0;
    if (length > maxBytes) onTooLong(whole.toString('utf8', 0, HEAD_BYTES), length);
    else onLine(whole.toString('utf8', 0, whole.at(-1) === 13 ? whole.length - 1 : whole.length));
  };

  stream.on('data', (data: Buffer) => {
    let from = 0;
    for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, from)) {
      take(data.subarray(from, end));
      finish();
      from = end + 1;
    }
    if (from < data.length) take(data.subarray(from));
  });
  stream.on('end', () => {
    if (bytes > 0) finish();
  });
}
