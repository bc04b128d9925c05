import Table from 'cli-table3';

import { paintFor } from './text.ts';

const NO_LINES = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
  ].map((name) => [name, '']),
);

/** Columns without lines for standard output, each under its title; those that `rightAligned` names end flush. */
export function table(titles: readonly string[], rows: readonly string[][], rightAligned: readonly string[] = []): string {
  const paint = paintFor(process.stdout);
  const cells = new Table({
    head: titles.map((title) => paint('cyan', title)),
    chars: { ...NO_LINES, middle: '  ' },
    // Colours are ours: the table's own ignore NO_COLOR.
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: titles.map((title) => (rightAligned.includes(title) ? 'right' : 'left')),
  });
  cells.push(...rows);
  return cells.toString().replaceAll(/ +$/gm, '');
}
