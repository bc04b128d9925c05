import { stripVTControlCharacters, styleText } from 'node:util';

import ms from 'ms';

type Format = Parameters<typeof styleText>[0];

/** Gives a text a colour where the stream shows any: a terminal, and NO_COLOR is not set. */
export type Paint = (format: Format, text: string) => string;

export function paintFor(stream: NodeJS.WritableStream): Paint {
  return (format, text) => styleText(format, text, { stream });
}

/** A text that an agent wrote, without what could move the cursor, hide lines or rename the window. */
export function sanitize(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll('\r\n', '\n')
    .replaceAll('\t', '  ')
    .replace(/[^\P{Cc}\n]/gu, '');
}

/** One line of at most `columns` characters. */
export function oneLine(text: string, columns: number): string {
  const line = sanitize(text).replace(/\s+/g, ' ').trim();
  return line.length <= columns ? line : `${line.slice(0, columns - 1)}…`;
}

/** From one instant to another, for a person: `0.4s`, `12.3s`, `2m`. */
export function elapsed(fromIso: string, toIso: string): string {
  const duration = Date.parse(toIso) - Date.parse(fromIso);
  return duration < 60_000 ? `${(duration / 1000).toFixed(1)}s` : ms(duration);
}
