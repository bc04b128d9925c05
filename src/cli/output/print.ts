import { columnsOf } from './text.ts';
import { wrapWords } from './wrap.ts';

/** The one document, or one of the lines, that a program reads. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Lines as they are, for a shell or a program. */
export function printLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

/** Sentences, broken between words where the terminal is narrow. */
export function printProse(lines: readonly string[]): void {
  printLines(lines.flatMap((line) => wrapWords(line, columnsOf(process.stdout))));
}
