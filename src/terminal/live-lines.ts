import { clearLine, cursorTo } from 'node:readline';
import type { WriteStream } from 'node:tty';

/** Lines that stay, and on a terminal one last line that says what happens now. */
export interface LiveLines {
  line(text: string): void;
  /** Shown on a terminal only; null takes it away. */
  now(text: string | null): void;
}

/** Never ends the stream: call `now(null)` at the end. */
export function liveLines(stream: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>): LiveLines {
  let shown: string | null = null;
  const erase = (): void => {
    if (shown === null) return;
    cursorTo(stream, 0);
    clearLine(stream, 0);
  };
  const draw = (): void => {
    if (shown !== null) stream.write(shown.slice(0, (stream.columns ?? 80) - 1));
  };
  return {
    line(text) {
      erase();
      stream.write(`${text}\n`);
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
