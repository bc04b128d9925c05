import { elapsed, type Paint } from './text.ts';

const TIME_COLUMNS = 9;
const LABEL_COLUMNS = 9;

/** The lines of one job: when, what kind, what. */
export interface Columns {
  /** Times are counted from the first. */
  labelled: (at: string, label: string, text: string) => string;
  /** Goes on with the line above. */
  indented: (text: string) => string;
}

export function createColumns(paint: Paint): Columns {
  let startedAt: string | null = null;
  return {
    labelled(at, label, text) {
      startedAt ??= at;
      return `${paint('dim', elapsed(startedAt, at).padStart(TIME_COLUMNS - 2))}  ${paint('cyan', label.padEnd(LABEL_COLUMNS))}${text}`;
    },
    indented: (text) => `${' '.repeat(TIME_COLUMNS + LABEL_COLUMNS)}${text}`,
  };
}
