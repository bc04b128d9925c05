import { columnsOf, paintFor, type Paint } from './text.ts';
import { wrapBehind } from './wrap.ts';

const NAME_COLUMNS = 9;

/** The lines of a named value; null: it has none. */
export type Field = (name: string, value: string | null) => string[];

/** Names in one column, values beside them. `columns`: the width of the terminal, over which no line goes. */
export function createField(paint: Paint, columns: number): Field {
  return (name, value) => (value === null ? [] : wrapBehind(paint('cyan', name.padEnd(NAME_COLUMNS)), value, columns));
}

/** Fields for a stream. */
export function fieldFor(stream: NodeJS.WriteStream): Field {
  return createField(paintFor(stream), columnsOf(stream));
}
