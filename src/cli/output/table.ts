import { columnsOf, paintFor } from './text.ts';
import { widthOf, wrapBehind } from './wrap.ts';

const GAP = '  ';

interface Column {
  title: string;
  cells: string[];
  width: number;
  isRight: boolean;
}

/**
 * Columns without lines for standard output, each under its title; those that `rightAligned` names end flush. What does not fit the terminal's
 * width follows below, indented: nothing of a row is cut, since ids are copied from it.
 */
export function table(titles: readonly string[], rows: readonly string[][], rightAligned: readonly string[] = []): string {
  const paint = paintFor(process.stdout);
  const columns = titles.map((title, index): Column => {
    const cells = rows.map((row) => row[index] ?? '');
    return { title, cells, width: Math.max(...[title, ...cells].map(widthOf)), isRight: rightAligned.includes(title) };
  });
  const width = columnsOf(process.stdout);
  const lines = spread(columns, width);
  const head = lines.map((line) => join(line, ({ title }) => title));
  const body = rows.map((_, row) => lines.map((line) => join(line, ({ cells }) => cells[row] ?? '')));
  return [head.map((text) => paint('cyan', text)), ...body]
    .flatMap((texts) => texts.flatMap((text, index) => (index === 0 ? [text] : wrapBehind(GAP, text, width))))
    .join('\n');
}

/** The columns that share a line: as many as fit. */
function spread(columns: readonly Column[], width: number): Column[][] {
  const lines: Column[][] = [[]];
  let used = 0;
  for (const column of columns) {
    if (used > 0 && used + GAP.length + column.width > width) {
      lines.push([]);
      // The indent has the place of the gap.
      used = 0;
    }
    lines.at(-1)?.push(column);
    used += column.width + (used > 0 || lines.length > 1 ? GAP.length : 0);
  }
  return lines;
}

function join(line: readonly Column[], textOf: (column: Column) => string): string {
  const cells = line.map((column) => {
    const space = ' '.repeat(column.width - widthOf(textOf(column)));
    return column.isRight ? space + textOf(column) : textOf(column) + space;
  });
  return cells.join(GAP).trimEnd();
}
