import { clearLine, cursorTo } from 'node:readline';
import type { WriteStream } from 'node:tty';

import { columnsOf } from './text.ts';
import { wrapWords } from './wrap.ts';

type Terminal = NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;

/** Lines that stay, and on a terminal one last line that says what happens now. */
export interface LiveLines {
  /** The width of a line. */
  readonly columns: number;
  line(text: string): void;
  /** Goes to standard error, whatever reads the others. */
  note: (text: string) => void;
  /** Shown on a terminal only; null takes it away. */
  now(text: string | null): void;
}

/** Never ends the stream: call `now(null)` at the end. */
export function liveLines(stream: Terminal): LiveLines {
  let shown: string | null = null;
  const erase = (): void => {
    if (shown === null) return;
    cursorTo(stream, 0);
    clearLine(stream, 0);
  };
  const draw = (): void => {
    if (shown === null) return;
    const columns = columnsOf(stream);
    stream.write(shown.length < columns ? shown : `${shown.slice(0, columns - 2)}…`);
  };
  return {
    columns: columnsOf(stream),
    line(text) {
      erase();
      stream.write(`${text}\n`);
      draw();
    },
    note(text) {
      erase();
      process.stderr.write(`${wrapWords(text, columnsOf(process.stderr)).join('\n')}\n`);
      draw();
    },
    now(text) {
      if (stream.isTTY !== true) return;
      erase();
      shown = text;
      draw();
    },
  };
}
