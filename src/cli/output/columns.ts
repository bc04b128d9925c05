import { elapsed, type Paint } from './text.ts';
import { wrapBehind } from './wrap.ts';

const TIME_COLUMNS = 9;
const LABEL_COLUMNS = 9;

/** The lines of one job: when, what kind, what. */
export interface Columns {
  /** Times are counted from the first. */
  labelled: (at: string, label: string, text: string) => string[];
  /** Goes on with the line above. */
  indented: (text: string) => string[];
}

/** `columns`: the width of the terminal, over which no line goes. */
export function createColumns(paint: Paint, columns: number): Columns {
  let startedAt: string | null = null;
  return {
    labelled(at, label, text) {
      startedAt ??= at;
      const time = paint('dim', elapsed(startedAt, at).padStart(TIME_COLUMNS - 2));
      return wrapBehind(`${time}  ${paint('cyan', label.padEnd(LABEL_COLUMNS))}`, text, columns);
    },
    indented: (text) => wrapBehind(' '.repeat(TIME_COLUMNS + LABEL_COLUMNS), text, columns),
  };
}
