import stringWidth from 'string-width';

/** Columns of a text beside a prefix, however narrow the terminal is. */
const MIN_COLUMNS = 20;

/** Breaks a text between words, into lines of at most `columns`. A longer word stays whole, so that it can be copied. */
export function wrapWords(text: string, columns: number): string[] {
  if (widthOf(text) <= columns) return [text];
  const lines: string[] = [];
  let line = '';
  for (const [part, , word = ''] of text.matchAll(/( *)([^ ]+)/g)) {
    if (line.trim() !== '' && widthOf(line + part) > columns) {
      lines.push(line);
      line = word;
    } else line += part;
  }
  return [...lines, line];
}

/** The lines of a text behind a prefix; each after the first begins below its text. */
export function wrapBehind(prefix: string, text: string, columns: number): string[] {
  const indent = ' '.repeat(widthOf(prefix));
  const lines = wrapWords(text, Math.max(columns - indent.length, MIN_COLUMNS));
  return lines.map((line, index) => (index === 0 ? prefix : indent) + line);
}

/** How many columns a text without line breaks takes; wide characters take two. */
export function widthOf(text: string): number {
  return stringWidth(text);
}
