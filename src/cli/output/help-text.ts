import { wrapBehind, wrapWords } from './wrap.ts';

/** Help for a terminal of a width: paragraphs and lists broken between words. A command stays on its line, so that it can be copied. */
export function fitHelp(text: string, columns: number): string {
  if (columns === Infinity) return text;
  return text
    .replaceAll(/(?<=^[^\s].*)\n(?=\S)/gm, ' ')
    .split('\n')
    .flatMap((line) => fitLine(line, columns))
    .join('\n');
}

function fitLine(line: string, columns: number): string[] {
  if (/^\s+(\$|--|`)/.test(line)) return [line];
  const [name = ''] = /^ +\S+ {2,}|^ */.exec(line) ?? [];
  return name === '' ? wrapWords(line, columns) : wrapBehind(name, line.slice(name.length), columns);
}
