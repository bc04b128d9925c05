import stringWidth from 'string-width';

import { paintFor } from './text.ts';

/** Formats columns for standard output, each under its title; those that `rightAligned` names are flush right. */
export function table(titles: readonly string[], rows: readonly string[][], rightAligned: readonly string[] = []): string {
  const paint = paintFor(process.stdout);
  const lines = [titles.map((title) => paint('cyan', title)), ...rows];
  const columns = titles.map((title, index) => ({
    width: Math.max(...lines.map((line) => stringWidth(line[index] ?? ''))),
    isRightAligned: rightAligned.includes(title),
  }));
  const format = (line: readonly string[]): string =>
    columns.map(({ width, isRightAligned }, index) => pad(line[index] ?? '', width, isRightAligned)).join('  ');
  return lines.map((line) => format(line).trimEnd()).join('\n');
}

function pad(cell: string, width: number, isRightAligned: boolean): string {
  const padding = ' '.repeat(width - stringWidth(cell));
  return isRightAligned ? `${padding}${cell}` : `${cell}${padding}`;
}
